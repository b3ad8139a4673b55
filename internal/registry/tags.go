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
	known   map[string]bool // the tags so far
	visited map[string]bool // the pages so far
	bytes   int64           // of the pages so far
}

// page is one page of a tag list.
type page struct {
	tags []string
	next *url.URL // nil where the registry names no next page
	// full says that the page holds as many tags as were asked for, so that
	// there may be more even without a next page.
	full bool
}

// newListing returns a listing that has read nothing yet.
func newListing(s *session) *listing {
	return &listing{session: s, tags: []string{}, known: map[string]bool{}, visited: map[string]bool{}}
}

// all reads the list to its end.
func (l *listing) all(ctx context.Context) ([]string, error) {
	for next := l.pageAfter(""); next != nil; {
		if err := l.visit(next); err != nil {
			return nil, err
		}
		p, err := l.read(ctx, next)
		if err != nil {
			return nil, err
		}
		fresh := l.add(wellFormed(p.tags))
		if len(l.tags) > l.limits.Tags {
			return nil, tooManyTags(l.limits.Tags)
		}
		next = p.next
		if next == nil && p.full && fresh {
			// A few registries cut the list to the size they were asked for
			// and name no next page. Those that had no more tags answer with
			// none, or with the ones that are known.
			next = l.pageAfter(p.tags[len(p.tags)-1])
		}
	}
	return l.tags, nil
}

// pageAfter returns the address of the page that starts after the tag last.
func (l *listing) pageAfter(last string) *url.URL {
	u := l.url("tags/list")
	query := url.Values{"n": {strconv.Itoa(pageSize)}}
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
	fresh := false
	for _, tag := range tags {
		if !l.known[tag] {
			l.known[tag] = true
			l.tags = append(l.tags, tag)
			fresh = true
		}
	}
	return fresh
}

// read reads one page.
func (l *listing) read(ctx context.Context, u *url.URL) (page, error) {
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
	return page{tags: tags, next: next, full: len(tags) >= pageSize}, err
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

// wellFormed returns the tags that are tags by the distribution specification.
// What else a list holds names no image that anyone could pull, and is left out
// before its bytes get into a status or into a file in Git.
func wellFormed(tags []string) []string {
	found := make([]string, 0, len(tags))
	for _, tag := range tags {
		if wellFormedTag.MatchString(tag) {
			found = append(found, tag)
		}
	}
	return found
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
