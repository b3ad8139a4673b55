// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// parseTags parses a page of at most limit tags. A list that is null is empty: Go encodes
// the tags of an empty repository as null.
func parseTags(body []byte, limit int) ([]string, error) {
	if looksLikeHTML(body) {
		return nil, transport.ProtocolError("it sent an HTML page in place of a tag list: check that spec.image names a registry")
	}
	var list struct {
		Name *string         `json:"name"`
		Tags json.RawMessage `json:"tags"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, malformedTags(body)
	}
	if list.Name == nil && list.Tags == nil {
		return nil, transport.ProtocolError("it sent JSON that is no tag list")
	}
	if list.Tags == nil {
		return nil, nil
	}
	// Tags contain no commas. They are counted before memory is allocated for them,
	// because a small body may hold millions of empty strings.
	if bytes.Count(list.Tags, []byte{','}) >= limit {
		return nil, tooManyTags(limit)
	}
	if tags, plain := plainStrings(list.Tags); plain {
		return tags, nil
	}
	var tags []string
	if err := json.Unmarshal(list.Tags, &tags); err != nil {
		return nil, transport.ProtocolError("it sent a tag list whose tags are not strings")
	}
	return tags, nil
}

const (
	// trustedLength bounds the Content-Length for which a buffer is allocated before
	// the body is read.
	trustedLength = 4 << 20
	// maxPooledBuffer is the capacity of the largest buffers that are reused.
	maxPooledBuffer = 256 << 10
)

// buffers pools the buffers of pages, which otherwise would be most of the garbage of
// reading an unchanged list.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readBody reads a body. The result is valid until releaseBodies.
func (l *listOperation) readBody(resp *http.Response) ([]byte, error) {
	body := buffers.Get().(*bytes.Buffer)
	l.bodies = append(l.bodies, body)
	if length := resp.ContentLength; length > 0 && length <= trustedLength {
		body.Grow(int(length) + bytes.MinRead)
	}
	_, err := body.ReadFrom(l.budget.reader(resp.Body))
	return body.Bytes(), err
}

// releaseBodies returns the buffers of all bodies to the pool.
func (l *listOperation) releaseBodies() {
	l.budget.release()
	for _, body := range l.bodies {
		if body.Cap() <= maxPooledBuffer {
			body.Reset()
			buffers.Put(body)
		}
	}
	l.bodies = nil
}

// plainStrings returns the strings of an array, which must be valid JSON, as substrings of
// one string, so that they share one allocation. It returns false if the array has other
// elements, or strings with escapes.
func plainStrings(array []byte) ([]string, bool) {
	const space = " \t\r\n"
	text, ok := strings.CutPrefix(strings.Trim(string(array), space), "[")
	found := make([]string, 0, strings.Count(text, ",")+1)
	for ok {
		start := strings.IndexByte(text, '"')
		if start < 0 {
			return found, strings.Trim(text, space) == "]"
		}
		if strings.Trim(text[:start], space+",") != "" {
			break
		}
		end := start + 1
		for text[end] != '"' { // valid JSON ends its strings
			if text[end] == '\\' || text[end] >= utf8.RuneSelf {
				return nil, false
			}
			end++
		}
		found = append(found, text[start+1:end])
		text = text[end+1:]
	}
	return nil, false
}

// tooManyTags returns the error about a list of more than limit tags.
func tooManyTags(limit int) error {
	return transport.ProtocolErrorf("the tag list has more than the %d tags that are read", limit)
}

// malformedTags returns the error about a body that is not a JSON object.
func malformedTags(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return transport.ProtocolError("it sent an empty body in place of a tag list")
	}
	if json.Valid(body) {
		return transport.ProtocolError("it sent JSON that is no tag list")
	}
	return transport.ProtocolError("it sent a tag list that is malformed or cut off")
}

// looksLikeHTML reports whether a body is markup, such as a login page with status
// 200.
func looksLikeHTML(body []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) }

// tagSet is the ordered set of the names in a tag list.
type tagSet struct {
	list  []string
	known map[string]bool // nil while the list is ascending
}

func (s *tagSet) len() int { return len(s.list) }

// add adds the names that are new, and reports whether there are any.
func (s *tagSet) add(more []string) bool {
	before := len(s.list)
	if s.known == nil && s.ascends(more) { // as the specification requires
		if s.list == nil {
			s.list = more
		} else {
			s.list = append(s.list, more...)
		}
		return len(more) > 0
	}
	if s.known == nil {
		s.known = make(map[string]bool, len(s.list))
		for _, name := range s.list {
			s.known[name] = true
		}
	}
	for _, name := range more {
		if !s.known[name] {
			s.known[name] = true
			s.list = append(s.list, name)
		}
	}
	return len(s.list) > before
}

// ascends reports whether more continues the list in strictly ascending order, so that all
// its names are new.
func (s *tagSet) ascends(more []string) bool {
	for i, name := range more {
		if i > 0 && name <= more[i-1] || i == 0 && len(s.list) > 0 && name <= s.list[len(s.list)-1] {
			return false
		}
	}
	return true
}

// valid returns the names that are valid tags, and the number of others. The set must
// not be used afterwards.
func (s *tagSet) valid() ([]string, int) {
	total := len(s.list)
	tags := slices.DeleteFunc(s.list, func(name string) bool { return !IsTag(name) })
	if tags == nil {
		tags = []string{}
	}
	return tags, total - len(tags)
}

// IsTag reports whether a tag is valid according to the distribution specification:
// [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}.
func IsTag(tag string) bool {
	return tag != "" && len(tag) <= 128 && tag[0] != '.' && tag[0] != '-' &&
		!strings.ContainsFunc(tag, func(c rune) bool { return !isTagCharacter(c) })
}

func isTagCharacter(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '-'
}
