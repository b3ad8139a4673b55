// SPDX-License-Identifier: Apache-2.0

package canary_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/test/canary"
)

const secret = "s3cret+canary/1"

// TestSearch_FindsSecretsInEveryEncoding encodes a secret together with surrounding bytes.
func TestSearch_FindsSecretsInEveryEncoding(t *testing.T) {
	type config struct{ Auth string }
	for name, encode := range map[string]func(string) string{
		"plain":       func(s string) string { return s },
		"quoted":      func(s string) string { return fmt.Sprintf("%q", s) },
		"query":       url.QueryEscape,
		"lower query": func(s string) string { return strings.ToLower(url.QueryEscape(s)) },
		"path":        url.PathEscape,
		"userinfo": func(s string) string {
			return (&url.URL{Scheme: "http", User: url.UserPassword("u", s), Host: "h"}).String()
		},
		"hex":            func(s string) string { return hex.EncodeToString([]byte(s)) },
		"upper hex":      func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
		"bytes":          func(s string) string { return fmt.Sprintf("%d", []byte(s)) },
		"base64":         func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"base64 raw URL": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
		"JSON of bytes": func(s string) string {
			encoded, _ := json.Marshal(map[string][]byte{"password": []byte(s)})
			return string(encoded)
		},
		"struct": func(s string) string { return fmt.Sprintf("%+v", config{Auth: s}) },
	} {
		for before := range 4 {
			for after := range 4 {
				text := encode(strings.Repeat("\x00", before) + secret + strings.Repeat("?", after))
				NewWithT(t).Expect(canary.New(secret).In([]byte("some line\nlevel=info "+text+" end\n"))).NotTo(BeEmpty(), "%s after %d and before %d bytes: not found in %q", name, before, after, text)
			}
		}
	}
}

func TestSearch_ReportsNoFalsePositives(t *testing.T) {
	s := canary.New(secret)
	for _, text := range []string{"", secret[:len(secret)-1], secret[1:], strings.ToUpper(secret), base64.StdEncoding.EncodeToString([]byte("s3cret+canary/2 and more"))} {
		NewWithT(t).Expect(s.In([]byte(text))).To(BeEmpty(), "%q", text)
	}
}

func TestSearch_FindsSecretsInFiles(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	s := canary.New(secret)
	for name, content := range map[string]string{"a/b/clean.log": "nothing", "a/b/tags.db": "\x00\x01" + secret, "late.log": "contains another-secret"} {
		path := filepath.Join(dir, name)
		g.Expect(os.MkdirAll(filepath.Dir(path), 0o755)).To(Succeed())
		g.Expect(os.WriteFile(path, []byte(content), 0o600)).To(Succeed())
	}
	found, read, err := s.Files(dir)
	if err != nil || len(found) != 1 || !strings.Contains(found[0], "tags.db: a secret (plain) in line 1") || read == 0 {
		t.Errorf("got %q, %d bytes, error %v", found, read, err)
	}
	g.Expect(strings.Join(found, "")).NotTo(ContainSubstring(secret), "the description does not contain the secret")
	s.Add("another-secret")
	if found, _, err := s.Files(dir); err != nil || len(found) != 2 {
		t.Errorf("got %q, error %v", found, err)
	}
	if _, _, err := s.Files(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing directory was searched without an error")
	}
}

func TestNew_PanicsOnShortSecrets(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a short secret was accepted")
		}
	}()
	canary.New("password")
}
