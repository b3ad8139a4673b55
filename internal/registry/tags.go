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
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// pageSize is how many tags a page is asked to have. Registries answer with
// fewer, or with all of them, as they like.
const pageSize = 1000

// listing reads the pages of one tag list.
type listing struct {
	*session
	tags    []string
	invalid int
	known   map[string]bool // the tags so far
	visited map[string]bool // the pages so far
	bytes   int64           // of the pages so far

	progress func(pages, tags int)
}

// page is one page of a tag list.
type page struct {
	tags []string
	next *url.URL // nil where the registry names no next page
}

// newListing returns a listing that has read nothing yet.
func newListing(s *session, progress func(pages, tags int)) *listing {
	return &listing{session: s, tags: []string{}, known: map[string]bool{}, visited: map[string]bool{}, progress: progress}
}

// all reads the list to its end.
func (l *listing) all(ctx context.Context) (TagList, error) {
	p, err := l.first(ctx)
	for {
		if err != nil {
			return TagList{}, err
		}
		fresh := l.add(p.tags)
		l.progress(len(l.visited), len(l.tags))
		if len(l.known) > l.limits.Tags {
			return TagList{}, tooManyTags(l.limits.Tags)
		}
		next, err := l.after(ctx, p, fresh)
		if err != nil {
			return TagList{}, err
		}
		if next == nil {
			return TagList{Tags: l.tags, Invalid: l.invalid}, nil
		}
		p, err = l.read(ctx, next)
		if err != nil {
			return TagList{}, err
		}
	}
}

// first reads the first page. Registries that don't take the number of tags
// that it is asked to have are asked without one, from then on.
func (l *listing) first(ctx context.Context) (page, error) {
	if l.habits.noSize.Load() {
		return l.read(ctx, l.pageAfter("", 0))
	}
	p, err := l.read(ctx, l.pageAfter("", pageSize))
	if !refusesSize(err) {
		return p, err
	}
	whole, err := l.read(ctx, l.pageAfter("", 0))
	if err == nil {
		l.habits.noSize.Store(true)
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
func (l *listing) after(ctx context.Context, p page, fresh bool) (*url.URL, error) {
	switch {
	case p.next != nil:
		l.habits.links.Store(linksNamed)
		return p.next, nil
	case len(p.tags) != pageSize || !fresh || l.habits.noSize.Load():
		return nil, nil
	}
	named, err := l.namesPages(ctx)
	if named || err != nil {
		return nil, err
	}
	return l.pageAfter(p.tags[len(p.tags)-1], pageSize), nil
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
		return badAnswer("the pages of its tag list link to each other in a circle")
	}
	if len(l.visited) >= l.limits.Pages {
		return badAnswerf("the tag list has more than the %d pages that are read", l.limits.Pages)
	}
	l.visited[u.String()] = true
	return nil
}

// add adds the tags that are new, and reports whether any is.
func (l *listing) add(tags []string) bool {
	before := len(l.known)
	for _, tag := range tags {
		if l.known[tag] {
			continue
		}
		l.known[tag] = true
		if wellFormedTag.MatchString(tag) {
			l.tags = append(l.tags, tag)
		} else {
			l.invalid++
		}
	}
	return len(l.known) > before
}

// read reads one page.
func (l *listing) read(ctx context.Context, u *url.URL) (page, error) {
	if err := l.visit(u); err != nil {
		return page{}, err
	}
	resp, err := l.do(ctx, http.MethodGet, u, "application/json")
	if err != nil {
		return page{}, err
	}
	defer closeBody(resp)
	if err := checkStatus(resp, http.StatusOK); err != nil {
		return page{}, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return page{}, err
	}
	if l.bytes += int64(len(body)); l.bytes > l.limits.ListBytes {
		return page{}, badAnswerf("the tag list has more than the %d bytes that are read", l.limits.ListBytes)
	}
	tags, err := parseTags(body, l.limits.Tags)
	if err != nil {
		return page{}, err
	}
	next, err := nextPage(resp)
	return page{tags: tags, next: next}, err
}

// parseTags reads the body of a page of at most limit tags. A list of tags that
// is null is empty: that is how registries written in Go show a repository
// without tags.
func parseTags(body []byte, limit int) ([]string, error) {
	if looksLikeHTML(body) {
		return nil, badAnswer("it sent an HTML page in place of a tag list: check that spec.image names a registry")
	}
	var list struct {
		Name *string         `json:"name"`
		Tags json.RawMessage `json:"tags"`
	}
	var tags []string
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, malformedTags(body)
	}
	if list.Name == nil && list.Tags == nil {
		return nil, badAnswer("it sent JSON that is no tag list")
	}
	if list.Tags == nil {
		return nil, nil
	}
	// Tags contain no comma. Bytes that are cheap to send may be millions of
	// strings, so they are counted before there is one.
	if bytes.Count(list.Tags, []byte{','}) >= limit {
		return nil, tooManyTags(limit)
	}
	if err := json.Unmarshal(list.Tags, &tags); err != nil {
		return nil, badAnswer("it sent a tag list whose tags are not strings")
	}
	return tags, nil
}

// tooManyTags says which limit was hit.
func tooManyTags(limit int) error {
	return badAnswerf("the tag list has more than the %d tags that are read", limit)
}

// malformedTags says what is wrong with a body that isn't a JSON object.
func malformedTags(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return badAnswer("it sent an empty body in place of a tag list")
	}
	if json.Valid(body) {
		return badAnswer("it sent JSON that is no tag list")
	}
	return badAnswer("it sent a tag list that is malformed or cut off")
}

// looksLikeHTML reports whether a body is markup. Portals and login pages
// answer with it, with status 200.
func looksLikeHTML(body []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) }
