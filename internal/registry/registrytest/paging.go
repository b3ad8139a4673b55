// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// paging is how a registry cuts its tag lists. The zero value is one page of
// any length, or of as many tags as are asked for.
type paging struct {
	size    int      // tags of a page where no number is asked for; 0 for all
	max     int      // most tags of a page; 0 for as many as are asked for
	tooMany *refusal // answer to a larger number; nil for a page of max tags
	invalid *refusal // answer to what is no number from 0 on; nil takes it for none
	zero    bool     // where no tags are asked for, none are sent; false sends as many as where no number is asked for
	whole   bool     // number and cursor are ignored: a list is never cut
	always  bool     // there is a Link to a next page at every page with tags, also at the last
	cursor  string   // query parameter that names where a page starts; "last" where empty
	// encode and decode turn the last tag of a page into the value of the
	// cursor and back. nil is the tag as it is.
	encode, decode func(string) string
	// link writes the header Link to the next page. nil is a path with n and
	// the cursor, as in the distribution specification.
	link func(req *http.Request, next url.Values) string
	// fields adds to the document of a page what the specification has not.
	fields func(r *Registry, document map[string]any)
}

func withPaging(p paging) Option { return func(r *Registry) { r.paging = p } }

// pageSize returns how many tags a page has where n are asked for, 0 for all.
func (p *paging) pageSize(n string) (int, *refusal) {
	size, err := strconv.Atoi(n)
	switch {
	case n != "" && (err != nil || size < 0) && p.invalid != nil:
		return 0, p.invalid
	case err != nil || size <= 0:
		return p.size, nil
	case p.max == 0 || size <= p.max:
		return size, nil
	default:
		return p.max, p.tooMany
	}
}

// last returns the last tag of the page before.
func (p *paging) last(query url.Values) string {
	value := query.Get(p.parameter())
	if p.decode != nil {
		value = p.decode(value)
	}
	return value
}

// parameter returns the name of the cursor.
func (p *paging) parameter() string {
	if p.cursor == "" {
		return "last"
	}
	return p.cursor
}

// next returns the header Link to the page after the tag last.
func (p *paging) next(req *http.Request, last string, size int) string {
	if p.encode != nil {
		last = p.encode(last)
	}
	query := url.Values{p.parameter(): {last}}
	if size > 0 {
		query.Set("n", strconv.Itoa(size))
	}
	if p.link != nil {
		return p.link(req, query)
	}
	return fmt.Sprintf(`<%s?%s>; rel="next"`, req.URL.Path, query.Encode())
}

// document returns what a page of tags is sent as.
func (p *paging) document(r *Registry, name string, tags []string) map[string]any {
	document := map[string]any{"name": name, "tags": tags}
	if p.fields != nil {
		p.fields(r, document)
	}
	return document
}
