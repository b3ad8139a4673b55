// SPDX-License-Identifier: Apache-2.0

// Package canary searches the output of test runs for leaked secrets, in the encodings in which
// programs typically print them. It is for tests.
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

// shortest is the minimum length of a secret. Shorter ones could be found by chance.
const shortest = 10

// form is a secret in one encoding.
type form struct {
	encoding string
	text     []byte
}

// Search searches for secrets. It is safe for concurrent use.
type Search struct {
	mu    sync.Mutex
	known map[string]bool
	forms []form
}

// New returns a Search for secrets.
func New(secrets ...string) *Search {
	s := &Search{known: map[string]bool{}}
	for _, secret := range secrets {
		s.Add(secret)
	}
	return s
}

// Add adds a secret to search for. It panics if the secret is too short.
func (s *Search) Add(secret string) {
	if len(secret) < shortest {
		panic(fmt.Sprintf("a secret of %d bytes could be found by chance", len(secret)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known[secret] {
		s.known[secret] = true
		s.forms = append(s.forms, formsOf(secret)...)
	}
}

// formsOf returns the secret in all encodings.
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
	return slices.DeleteFunc(forms, func(f form) bool { // simple secrets have equal forms
		duplicate := seen[string(f.text)]
		seen[string(f.text)] = true
		return duplicate
	})
}

// escapedInLowerCase returns the URL encoding with hexadecimal digits in lower case, as some
// languages write it.
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

// inBase64 returns the characters of an encoded text that depend only on the secret in it, which
// begins at an offset of before bytes, modulo 3.
func inBase64(encoding *base64.Encoding, before int, secret string) []byte {
	encoded := encoding.EncodeToString(append(make([]byte, before), secret...))
	first := []int{0, 2, 3}[before]
	last := len(encoded)
	if (before+len(secret))%3 != 0 {
		last-- // the last character depends on the following bytes
	}
	return []byte(encoded[first:last])
}

// In returns a description of each encoded secret in content, without the secret.
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

// Files searches every file in a directory tree, and returns descriptions of the found secrets and
// the number of bytes read. A description contains the text before the secret.
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
		for _, leak := range s.In(content) {
			found = append(found, fmt.Sprintf("%s: %s", path, leak))
		}
		return nil
	})
	return found, read, err
}
