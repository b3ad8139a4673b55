// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// paging describes how a registry divides tag lists into pages. The zero value sends as many tags
// as requested, or all.
type paging struct {
	size        int            // default page size; 0 for all tags
	max         int            // maximum page size; 0 for no maximum
	tooLarge    *errorResponse // response to n > max; nil sends max tags
	invalid     *errorResponse // response to an invalid n; nil ignores it
	zeroIsEmpty bool           // n=0 returns no tags; false returns the default page
	unpaged     bool           // n and the cursor are ignored: lists are never divided
	linkAlways  bool           // every page with tags has a Link to a next page, including the last
	cursor      string         // query parameter of the cursor; empty for "last"
	// encode and decode convert the last tag of a page to the value of the cursor and back. nil
	// uses the tag itself.
	encode, decode func(string) string
	// link returns the Link header with the next page. nil returns a path with n and the cursor,
	// as in the distribution specification.
	link func(req *http.Request, next url.Values) string
	// fields adds fields to the document of a page that are not in the specification.
	fields func(r *Registry, document map[string]any)
}

func withPaging(p paging) Option { return func(r *Registry) { r.paging = p } }

// pageSize returns the number of tags of a page for the parameter n, 0 for all.
func (p *paging) pageSize(n string) (int, *errorResponse) {
	size, err := strconv.Atoi(n)
	switch {
	case n != "" && (err != nil || size < 0) && p.invalid != nil:
		return 0, p.invalid
	case err != nil || size <= 0:
		return p.size, nil
	case p.max == 0 || size <= p.max:
		return size, nil
	default:
		return p.max, p.tooLarge
	}
}

// last returns the last tag of the previous page.
func (p *paging) last(query url.Values) string {
	value := query.Get(p.parameter())
	if p.decode != nil {
		value = p.decode(value)
	}
	return value
}

// parameter returns the query parameter of the cursor.
func (p *paging) parameter() string {
	if p.cursor == "" {
		return "last"
	}
	return p.cursor
}

// next returns the Link header with the page after the tag last.
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

// document returns the document of a page of tags.
func (p *paging) document(r *Registry, name string, tags []string) map[string]any {
	document := map[string]any{"name": name, "tags": tags}
	if p.fields != nil {
		p.fields(r, document)
	}
	return document
}
