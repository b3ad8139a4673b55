// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"regexp"
	"testing"
)

// checkExpand compares a template with regexp's Expand.
func checkExpand(t *testing.T, pattern, extract, tag string) {
	t.Helper()
	re, err := regexp.Compile(pattern)
	if err != nil || extract == "" {
		return
	}
	compiled, err := compileTemplate(extract, re)
	match := re.FindStringSubmatchIndex(tag)
	if err != nil || match == nil {
		return
	}
	if got, want := compiled.expand(tag, match), string(re.ExpandString(nil, extract, tag, match)); got != want {
		t.Errorf("pattern %q, extract %q, tag %q: got key %q, want %q", pattern, extract, tag, got, want)
	}
}

var templates = []string{"$1", "${1}", "$0", "$ts", "${ts}", "$1$2", "${1}x$2", "$$1", "$", "$-", "a$1b", "${", "${1", "$é", "$1-$ts$$", "1.0.0"}

func TestTemplatesExpandLikeRegexp(t *testing.T) {
	patterns := []string{`(?P<ts>[0-9]+)-?(x)?`, `^([a-z]+)-(?P<ts>[0-9]+)$`, `()(?P<é>.)(?P<ts>.?)`}
	for _, pattern := range patterns {
		for _, extract := range templates {
			for _, tag := range []string{"main-12", "12x", "12-x", "é", "main-"} {
				checkExpand(t, pattern, extract, tag)
			}
		}
	}
}

func FuzzExpand(f *testing.F) {
	for _, extract := range templates {
		f.Add(`(?P<ts>[0-9]+)-?(x)?`, extract, "main-12-x")
	}
	f.Fuzz(checkExpand)
}
