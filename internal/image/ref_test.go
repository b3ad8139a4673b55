// SPDX-License-Identifier: Apache-2.0

package image

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

var digest = "sha256:" + strings.Repeat("0123456789abcdef", 4)

func TestParseRef_SplitsNameTagAndDigest(t *testing.T) {
	for _, tc := range []struct {
		reason            string
		in                string
		name, tag, digest string
	}{
		{"the common form", "ghcr.io/a/b:1.0.0", "ghcr.io/a/b", "1.0.0", ""},
		{"the name is not normalized", "alpine:3.20", "alpine", "3.20", ""},
		{"the port is not the tag", "localhost:5000/app:v1", "localhost:5000/app", "v1", ""},
		{"the digest's colon is not the tag's", "ghcr.io/a/b:1.0.0@" + digest, "ghcr.io/a/b", "1.0.0", digest},
		{"port, tag and digest", "localhost:5000/app:v1@" + digest, "localhost:5000/app", "v1", digest},
	} {
		t.Run(tc.in, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(ParseRef(tc.in)).To(Equal(NewRef(tc.name, tc.tag, tc.digest)), tc.reason)
		})
	}
}

func TestParseRef_RejectsInvalidReferences(t *testing.T) {
	for in, reason := range map[string]string{
		"":                            "the reference is empty",
		"ghcr.io/a/b":                 "there is no tag",
		"localhost:5000/app":          "a port is not a tag",
		"ghcr.io/a/b@" + digest:       "a digest is not a tag",
		"ghcr.io/a/b:1.0.0@":          "the digest is empty",
		"ghcr.io/a/b:1.0.0@sha256:ab": "the digest is too short",
		"ghcr.io/a/b:not a tag":       "a tag has no spaces",
		":1.0.0":                      "the name is empty",
		"ghcr.io/A/B:1.0.0":           "a name is in lower case",
	} {
		t.Run(in, func(t *testing.T) {
			_, err := ParseRef(in)
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring("invalid image reference")), reason)
		})
	}
}

func TestFormatRef_OmitsDigest(t *testing.T) {
	g := NewWithT(t)
	g.Expect(FormatRef(nil)).To(BeEmpty())
	g.Expect(FormatRef(NewRef("a", "1", digest))).To(Equal("a:1"), "the deprecated fields have no digest")
}

// FuzzParseRef checks that formatting a parsed reference returns the input.
func FuzzParseRef(f *testing.F) {
	for _, seed := range []string{"a:1", "localhost:5000/app:v1@" + digest, "a:1@", "@:", "a//b:1", "a:1:2", "[::1]:5000/a:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		ref, err := ParseRef(in)
		if err != nil {
			return
		}
		out := FormatRef(ref)
		if ref.Digest != "" {
			out += "@" + ref.Digest
		}
		if out != in || ref.Name != ref.Image || ref.Tag == "" {
			t.Errorf("%q became %+v", in, ref)
		}
	})
}
