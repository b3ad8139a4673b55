/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package registry

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// pageSize is how many tags a page is asked to have. Registries answer with
// fewer, or with all of them, as they like.
const pageSize = 1000

// listing reads the pages of one tag list.
type listing struct {
	*reader
	tags    tagSet
	known   Fingerprint // of the list as the caller knows it
	current Fingerprint // of the pages so far
	held    []page      // pages that equal the known ones, which are not parsed yet
	visited map[string]bool
	size    int64 // in bytes, of the pages so far
	bodies  []*bytes.Buffer
	budget  readBudget
}

// page is one page of a tag list.
type page struct {
	body []byte   // valid until its listing ends
	next *url.URL // nil where the registry names no next page
}

// newListing returns a listing that has read nothing yet.
func newListing(r *reader, known Fingerprint) *listing {
	return &listing{reader: r, known: known, visited: map[string]bool{}, budget: readBudget{large: r.large}}
}

// all reads the list to its end.
func (l *listing) all(ctx context.Context) (TagList, error) {
	defer l.releaseBodies()
	p, err := l.first(ctx)
	for err == nil {
		l.current = l.current.add(p)
		if l.current == l.known {
			return TagList{Unchanged: true, Fingerprint: l.current}, nil
		}
		var next *url.URL
		if next, err = l.take(ctx, p); err != nil {
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

// take adds the tags of a page, and returns the address of the next one, nil if
// there is none. Pages that equal the known ones are not parsed until one differs.
func (l *listing) take(ctx context.Context, p page) (*url.URL, error) {
	l.held = append(l.held, p)
	if p.next != nil && l.current.begins(l.known) {
		return p.next, nil
	}
	var tags []string
	var fresh bool
	for _, p := range l.held {
		var err error
		if tags, err = parseTags(p.body, l.limits.Tags); err != nil {
			return nil, err
		}
		if fresh = l.tags.add(tags); l.tags.len() > l.limits.Tags {
			return nil, tooManyTags(l.limits.Tags)
		}
	}
	l.held, l.known = nil, ""
	l.progress(len(l.visited), l.tags.len())
	return l.after(ctx, p, tags, fresh)
}

// first reads the first page. Registries that don't take the number of tags
// that it is asked to have are asked without one, from then on.
func (l *listing) first(ctx context.Context) (page, error) {
	if l.capabilities.noSize.Load() {
		return l.page(ctx, l.pageAfter("", 0))
	}
	p, err := l.page(ctx, l.pageAfter("", pageSize))
	if !refusesSize(err) {
		return p, err
	}
	whole, err := l.page(ctx, l.pageAfter("", 0))
	if err == nil {
		l.capabilities.noSize.Store(true)
	}
	return whole, err
}

// refusesSize reports whether an error may be about the number of tags that a
// page was asked to have.
func refusesSize(err error) bool {
	status, _ := asStatus(err)
	switch status {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge,
		http.StatusRequestedRangeNotSatisfiable, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// after returns the address of the page after p, nil where p is the last one.
//
// A few registries cut the list to the size that they were asked for and name
// no next page. So where they name none after a page of just that size, they
// are asked for what comes after its last tag. Those that had no more tags answer
// with none, or with the ones that are known.
func (l *listing) after(ctx context.Context, p page, tags []string, fresh bool) (*url.URL, error) {
	switch {
	case p.next != nil:
		l.capabilities.links.Store(linksNamed)
		return p.next, nil
	case len(tags) != pageSize || !fresh || l.capabilities.noSize.Load():
		return nil, nil
	}
	named, err := l.namesPages(ctx)
	if named || err != nil {
		return nil, err
	}
	return l.pageAfter(tags[len(tags)-1], pageSize), nil
}

// pageAfter returns the address of the page of some size, 0 for any, that
// starts after the tag last.
func (l *listing) pageAfter(last string, size int) *url.URL {
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

// visit notes that a page is being read. It fails on a page that was read
// before, and on too many.
func (l *listing) visit(u *url.URL) error {
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
func (l *listing) page(ctx context.Context, u *url.URL) (page, error) {
	if err := l.visit(u); err != nil {
		return page{}, err
	}
	resp, err := l.do(ctx, http.MethodGet, u, "application/json")
	if err != nil {
		return page{}, err
	}
	defer transport.CloseBody(resp)
	if err := checkStatus(resp, http.StatusOK); err != nil {
		return page{}, err
	}
	body, err := l.readBody(ctx, resp)
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
	// Tags are the tags, each of them once and in the order of the registry.
	Tags []string
	// Invalid is the number of names that were left out because no tag can have
	// them.
	Invalid int
	// Fingerprint identifies the list as the registry sent it.
	Fingerprint Fingerprint
	// Unchanged means that the list has the fingerprint that the caller knows. Its
	// tags are not returned again.
	Unchanged bool
}

// List returns all tags of the image repository, or no more than that the list is
// the one with the fingerprint known. It never returns a part of the tags: a list
// that can't be read to its end is an *Error.
func (r *Repository) List(ctx context.Context, known Fingerprint) (TagList, error) {
	return run(ctx, r, operation{verb: opListTags}, func(ctx context.Context, r *reader) (TagList, error) {
		return newListing(r, known).all(ctx)
	})
}
