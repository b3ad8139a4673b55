// SPDX-License-Identifier: Apache-2.0

// Package canary looks for secrets where none may be: in whatever a test run has
// left behind. It knows a secret in the encodings in which programs show one
// without being asked to. Only tests use it.
package canary

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// shortest is the length of the shortest secret that can be looked for. What is
// shorter would be found by chance.
const shortest = 10

// form is a secret in one encoding.
type form struct {
	encoding string
	text     []byte
}

// Search looks for secrets. It may be used by many goroutines.
type Search struct {
	mu    sync.Mutex
	known map[string]bool
	forms []form
}

// New returns a Search for some secrets.
func New(secrets ...string) *Search {
	s := &Search{known: map[string]bool{}}
	for _, secret := range secrets {
		s.Add(secret)
	}
	return s
}

// Add has one more secret looked for. It panics where that would find other
// things too.
func (s *Search) Add(secret string) {
	if len(secret) < shortest {
		panic(fmt.Sprintf("a secret of %d bytes would be found by chance", len(secret)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known[secret] {
		s.known[secret] = true
		s.forms = append(s.forms, formsOf(secret)...)
	}
}

// formsOf returns what a secret looks like in all encodings.
func formsOf(secret string) []form {
	query, lower := url.QueryEscape(secret), escapedInLowerCase(secret)
	forms := []form{
		{"plain", []byte(secret)},
		{"URL-encoded", []byte(query)},
		{"URL-encoded", []byte(lower)},
		{"URL-encoded as a path", []byte(url.PathEscape(secret))},
		{"hexadecimal", []byte(hex.EncodeToString([]byte(secret)))},
		{"hexadecimal", []byte(strings.ToUpper(hex.EncodeToString([]byte(secret))))},
		{"a list of bytes", []byte(strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"))},
		{"quoted", []byte(strings.Trim(fmt.Sprintf("%q", secret), `"`))},
	}
	for before := range 3 {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			forms = append(forms, form{fmt.Sprintf("base64, after %d bytes", before), inBase64(encoding, before, secret)})
		}
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(forms, func(f form) bool { // many are the same for a simple secret
		again := seen[string(f.text)]
		seen[string(f.text)] = true
		return again
	})
}

// escapedInLowerCase is URL-encoding as some languages have it.
func escapedInLowerCase(secret string) string {
	var b strings.Builder
	for _, c := range []byte(secret) {
		if escaped := url.QueryEscape(string(rune(c))); len(escaped) > 1 {
			b.WriteString(strings.ToLower(escaped))
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// inBase64 returns the characters of an encoded text that depend on nothing but
// the secret in it, where that begins at an offset of before bytes, modulo 3.
func inBase64(encoding *base64.Encoding, before int, secret string) []byte {
	encoded := encoding.EncodeToString(append(make([]byte, before), secret...))
	first := []int{0, 2, 3}[before]
	last := len(encoded)
	if (before+len(secret))%3 != 0 {
		last-- // it depends on what comes after
	}
	return []byte(encoded[first:last])
}

// In returns the encodings in which a secret is in content.
func (s *Search) In(content []byte) []string {
	s.mu.Lock()
	forms := s.forms
	s.mu.Unlock()
	var found []string
	for _, f := range forms {
		at := bytes.Index(content, f.text)
		if at < 0 {
			continue
		}
		line := 1 + bytes.Count(content[:at], []byte{'\n'})
		found = append(found, fmt.Sprintf("a secret (%s) in line %d: …%q", f.encoding, line, content[max(0, at-80):at]))
	}
	return found
}

// Files searches every file below a folder, and returns what it found and how
// many bytes it read. Of a line with a secret it tells what is before that.
func (s *Search) Files(dir string) ([]string, int64, error) {
	var found []string
	var read int64
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read += int64(len(content))
		for _, what := range s.In(content) {
			found = append(found, fmt.Sprintf("%s: %s", path, what))
		}
		return nil
	})
	return found, read, err
}
