// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// pageSize is the requested number of tags per page. Registries may return fewer, or
// all of them.
const pageSize = 1000

// Fingerprint identifies the pages of a tag list as a registry sent them: it concatenates
// their hashes. Lists with the same fingerprint have the same tags. It is empty for no
// list.
type Fingerprint string

// add returns the fingerprint with another page.
func (f Fingerprint) add(p page) Fingerprint {
	h := sha256.New()
	h.Write(p.body)
	if p.next != nil {
		h.Write([]byte("\x00" + p.next.String())) // JSON never contains that byte
	}
	return f + Fingerprint(h.Sum(nil))
}

// listOperation reads the pages of one tag list.
type listOperation struct {
	*reader
	tags     tagSet
	known    Fingerprint // the caller's, "" after a page that differs
	current  Fingerprint // of the pages so far
	unparsed []page      // pages so far that equal the known ones
	visited  map[string]bool
	size     int64 // of the pages so far, in bytes
	bodies   []*bytes.Buffer
	budget   readBudget
}

// page is one page of a tag list.
type page struct {
	body []byte   // valid until releaseBodies
	next *url.URL // nil if the registry sends no link to a next page
}

func newListOperation(ctx context.Context, r *reader, known Fingerprint) *listOperation {
	return &listOperation{reader: r, known: known, visited: map[string]bool{}, budget: readBudget{ctx: ctx, large: r.large}}
}

// all reads all pages of the list.
func (l *listOperation) all(ctx context.Context) (TagList, error) {
	defer l.releaseBodies()
	p, err := l.first(ctx)
	for err == nil {
		l.current = l.current.add(p)
		if l.current == l.known {
			return TagList{Unchanged: true, Fingerprint: l.current}, nil
		}
		var next *url.URL
		if next, err = l.addPage(ctx, p); err != nil {
			break
		}
		if next == nil {
			tags, invalid := l.tags.valid()
			return TagList{Tags: tags, Invalid: invalid, Fingerprint: l.current}, nil
		}
		p, err = l.page(ctx, next)
	}
	return TagList{}, err
}

// addPage adds the tags of a page, and returns the URL of the next one, nil if there is
// none. Pages that equal the known ones are not parsed until one differs.
func (l *listOperation) addPage(ctx context.Context, p page) (*url.URL, error) {
	l.unparsed = append(l.unparsed, p)
	if p.next != nil && strings.HasPrefix(string(l.known), string(l.current)) {
		return p.next, nil
	}
	var tags []string
	var added bool
	for _, p := range l.unparsed {
		var err error
		if tags, err = parseTags(p.body, l.limits.Tags); err != nil {
			return nil, err
		}
		if added = l.tags.add(tags); l.tags.len() > l.limits.Tags {
			return nil, tooManyTags(l.limits.Tags)
		}
	}
	l.unparsed, l.known = nil, ""
	l.progress(len(l.visited), l.tags.len())
	return l.after(ctx, p, tags, added)
}

// first reads the first page. If the registry refuses the page size, it and all
// later lists are requested without one.
func (l *listOperation) first(ctx context.Context) (page, error) {
	if l.capabilities.refusesPageSize.Load() {
		return l.page(ctx, l.pageAfter("", 0))
	}
	p, err := l.page(ctx, l.pageAfter("", pageSize))
	if !refusesSize(err) {
		return p, err
	}
	p, err = l.page(ctx, l.pageAfter("", 0))
	if err == nil {
		l.capabilities.refusesPageSize.Store(true)
	}
	return p, err
}

// refusesSize reports whether an error may be about the page size.
func refusesSize(err error) bool {
	switch failureStatus(err) {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge,
		http.StatusRequestedRangeNotSatisfiable, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// after returns the URL of the page after p, nil if p is the last one. tags are the tags
// of p, and added is whether any of them is new.
//
// A few registries respect the page size but send no link to the next page. So a page of
// exactly that size without a link may not be the last one: unless hasLinks shows that the
// registry sends links, the tags after its last one are requested. If there are none, the
// registry returns an empty page, or one without new tags.
func (l *listOperation) after(ctx context.Context, p page, tags []string, added bool) (*url.URL, error) {
	switch {
	case p.next != nil:
		l.capabilities.links.Store(linksPresent)
		return p.next, nil
	case len(tags) != pageSize || !added || l.capabilities.refusesPageSize.Load():
		return nil, nil
	}
	if linked, err := l.hasLinks(ctx); linked || err != nil {
		return nil, err
	}
	return l.pageAfter(tags[len(tags)-1], pageSize), nil
}

// pageAfter returns the URL of the page of the given size, 0 for any, that starts
// after the tag last.
func (l *listOperation) pageAfter(last string, size int) *url.URL {
	u := l.url("tags/list")
	query := url.Values{}
	if size > 0 {
		query.Set("n", strconv.Itoa(size))
	}
	if last != "" {
		query.Set("last", last)
	}
	u.RawQuery = query.Encode()
	return u
}

// visit records the URL of a page. It fails if the page was read already, or if there are
// too many pages.
func (l *listOperation) visit(u *url.URL) error {
	if l.visited[u.String()] {
		return transport.ProtocolError("the pages of its tag list link to each other in a circle")
	}
	if len(l.visited) >= l.limits.Pages {
		return transport.ProtocolErrorf("the tag list has more than the %d pages that are read", l.limits.Pages)
	}
	l.visited[u.String()] = true
	return nil
}

// page reads one page.
func (l *listOperation) page(ctx context.Context, u *url.URL) (page, error) {
	if err := l.visit(u); err != nil {
		return page{}, err
	}
	resp, err := l.do(ctx, http.MethodGet, u, "application/json")
	if err != nil {
		return page{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := checkFound(resp); err != nil {
		return page{}, err
	}
	body, err := l.readBody(resp)
	if err != nil {
		return page{}, err
	}
	if l.size += int64(len(body)); l.size > l.limits.ListBytes {
		return page{}, transport.ProtocolErrorf("the tag list has more than the %d bytes that are read", l.limits.ListBytes)
	}
	next, err := nextPage(resp)
	return page{body: body, next: next}, err
}

// TagList is the tags of an image repository.
type TagList struct {
	// Tags are the distinct tags, in the order of the registry.
	Tags []string
	// Invalid is the number of names in the list that are not valid tags.
	Invalid int
	// Fingerprint identifies the list as the registry sent it.
	Fingerprint Fingerprint
	// Unchanged means that the list has the fingerprint that the caller passed. Tags
	// is empty then.
	Unchanged bool
}

// List returns all tags of the image repository, unless the list has the fingerprint
// known. It never returns a partial list: it fails with an *Error if any page can't be
// read.
func (r *Repository) List(ctx context.Context, known Fingerprint) (TagList, error) {
	return run(ctx, r, operation{verb: opListTags}, func(ctx context.Context, r *reader) (TagList, error) {
		return newListOperation(ctx, r, known).all(ctx)
	})
}
