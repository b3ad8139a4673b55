// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// FuzzWhichEntryIsUsed tests that the entry of a docker config is used for an
// image only if it names the image's registry.
func FuzzWhichEntryIsUsed(f *testing.F) {
	for _, seed := range []string{
		"ghcr.io", "GHCR.IO", "ghcr.io/", "ghcr.io/org", "ghcr.io/org/app", "ghcr.io/or", "ghcr.io/org/app2", "https://ghcr.io", "https://ghcr.io/v2/",
		"http://ghcr.io/v1/org", "ghcr.io:443", "ghcr.io.", "ghcr.io.evil.example", "evilghcr.io", "evil.example/ghcr.io", "ghcr.io@evil.example",
		"evil.example@ghcr.io", "ghcr.io:80@evil.example", "ghcr.io\\@evil.example", "ghcr.io?x", "ghcr.io#x", "*.io", "gh*.io", "g?cr.io", "*.*", "*", "gh*.i?/org", "", "/", "\uff47hcr.io", "ghcr\u3002io",
	} {
		f.Add(seed)
	}
	img := parse(f, "ghcr.io/org/app")
	f.Fuzz(func(t *testing.T, name string) {
		_, found, err := dockerConfig{name: json.RawMessage(`{"username":"u","password":"p"}`)}.find(img)
		if err != nil {
			t.Fatal(err)
		}
		if found && !namesHost(name, "ghcr.io") {
			t.Fatalf("the entry %q is used for ghcr.io", name)
		}
		if name == "ghcr.io" && !found {
			t.Fatal("nothing is ever found, so this tests nothing")
		}
	})
}

// namesHost reports whether a name, which may be an address, names a host, by
// globs or letter by letter, and nothing but a path beside it.
func namesHost(name, host string) bool {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "https://"), "http://")
	named, _, _ := strings.Cut(name, "/")
	if strings.ContainsFunc(named, func(r rune) bool { return r > 127 }) {
		return false
	}
	expression := strings.NewReplacer(`\*`, `[^.]*`, `\?`, `[^.]`).Replace(regexp.QuoteMeta(named))
	return regexp.MustCompile("(?i)^" + expression + "$").MatchString(host)
}
