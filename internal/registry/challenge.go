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
	"net/http"
	"strings"
)

// How registries want their clients to log in.
const (
	loginBasic  = "basic"
	loginBearer = "bearer"
)

// authChallenge is what a registry says about logging in (RFC 9110, section 11).
type authChallenge struct {
	kind                  string // in lower case, "" where there is nothing to do
	realm, service, scope string
}

// challengeOf returns the challenge of an answer: the first one that can be met.
func challengeOf(resp *http.Response) authChallenge {
	for _, header := range resp.Header.Values("WWW-Authenticate") {
		for s := (scanner{header}); ; {
			c, ok := s.next()
			if !ok {
				break
			}
			if c.kind == loginBasic || c.kind == loginBearer {
				return c
			}
		}
	}
	return authChallenge{}
}

// scanner reads the values of a header from left to right.
type scanner struct{ rest string }

// next reads one of a list of challenges, "Scheme name=value, …". Commas
// separate both challenges and their parameters, so a parameter is told by its
// equals sign.
func (s *scanner) next() (authChallenge, bool) {
	s.skip(" \t,=") // an equals sign pads what some schemes have in place of parameters
	kind := s.word()
	if kind == "" {
		return authChallenge{}, false
	}
	c := authChallenge{kind: strings.ToLower(kind)}
	for {
		name, value, ok := s.param()
		if !ok {
			return c, true
		}
		switch strings.ToLower(name) {
		case "realm":
			c.realm = value
		case "service":
			c.service = value
		case "scope":
			c.scope = value
		}
	}
}

// param reads a parameter, or nothing where something else comes next.
func (s *scanner) param() (string, string, bool) {
	ahead := *s
	ahead.skip(" \t,")
	name := ahead.word()
	ahead.skip(" \t")
	if name == "" || !strings.HasPrefix(ahead.rest, "=") {
		return "", "", false
	}
	ahead.rest = ahead.rest[1:]
	ahead.skip(" \t")
	value := ahead.value()
	*s = ahead
	return name, value, true
}

// value reads a word or a quoted string.
func (s *scanner) value() string {
	if !strings.HasPrefix(s.rest, `"`) {
		return s.word()
	}
	var b strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return b.String()
		case c == '\\' && i+1 < len(s.rest):
			i++
			b.WriteByte(s.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	s.rest = "" // it was never closed
	return b.String()
}

// word reads everything up to a separator.
func (s *scanner) word() string {
	end := strings.IndexAny(s.rest, " \t,=\"")
	if end < 0 {
		end = len(s.rest)
	}
	word := s.rest[:end]
	s.rest = s.rest[end:]
	return word
}

// skip skips some characters.
func (s *scanner) skip(chars string) { s.rest = strings.TrimLeft(s.rest, chars) }
