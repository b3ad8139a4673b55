// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// hex64 is an encoded digest.
const hex64 = "6d7a2b7d6a1c5b0f1f0e9f5f4f8c0f7a3f1f2d6f5b9d8b1f2a3c4d5e6f708192"

// referrerTags are tags of signatures, attestations, SBOMs and referrers lists.
var referrerTags = map[string]string{
	"sha256-" + hex64:              "the referrers tag schema, as cosign 3, oras and notation write it",
	"sha512-" + hex64:              "the same with SHA-512, truncated to 64 characters",
	"sha384-" + hex64:              "the same with SHA-384",
	"blake3-" + hex64:              "the same with BLAKE3",
	"sha256-" + hex64 + ".sig":     "a signature of cosign 1 and 2",
	"sha256-" + hex64 + ".att":     "an attestation of cosign",
	"sha256-" + hex64 + ".sbom":    "an SBOM of cosign",
	"sha256-" + hex64 + ".cosign":  "a signature of the first cosign",
	"sha256-" + hex64 + "-suffix":  "a suffix after a hyphen",
	"sha256-" + hex64 + "_1":       "a suffix after an underscore",
	"app-sha256-" + hex64 + ".att": "an attestation with --attachment-tag-prefix",
}

// imageTags are tags of images that look like referrer tags.
var imageTags = map[string]string{
	"sha256-" + hex64[1:]:                  "63 digits",
	"sha256-" + hex64 + "0":                "65 digits",
	"sha256-" + hex64[1:] + ".sig":         "63 digits and a suffix",
	"sha256-" + hex64 + "0.sig":            "65 digits and a suffix",
	"sha256-" + strings.ToUpper(hex64):     "upper case, which no tool writes",
	"SHA256-" + hex64:                      "the algorithm in upper case",
	"sha256-" + hex64[1:] + "g":            "a character that is not a hexadecimal digit",
	"sha256-" + hex64 + "g":                "a letter without a separator",
	"sha256_" + hex64:                      "another separator",
	"sha256-" + hex64[1:] + "-":            "a separator in place of a digit",
	"sha1-" + hex64:                        "an algorithm that is not used for digests",
	"sha256-abc":                           "a short name",
	"sha256-":                              "the prefix alone",
	hex64:                                  "a digest without an algorithm",
	hex64[:40]:                             "a commit",
	"7e12345":                              "a short commit",
	"main-sha256-" + hex64:                 "a branch and a digest",
	"main-sha256-" + hex64 + ".json":       "the same with a custom suffix",
	"1.0.0-sha256-" + hex64[:24] + ".sig":  "a version with metadata",
	"zz-sha256-" + hex64[1:] + "0.sig.tar": "a suffix in the middle",
}

func TestIsReferrerTag_DistinguishesReferrersFromImages(t *testing.T) {
	g := NewWithT(t)
	for tag, reason := range referrerTags {
		g.Expect(IsReferrerTag(tag)).To(BeTrue(), "%s (%s) is a referrer tag", tag, reason)
	}
	for tag, reason := range imageTags {
		g.Expect(IsReferrerTag(tag)).To(BeFalse(), "%s (%s) is not a referrer tag", tag, reason)
	}
}

// everyPolicy returns policies of each kind, with and without a filter, that accept any tag.
func everyPolicy(tb testing.TB) map[string]*Rule {
	tb.Helper()
	withTimes := func(by v1.TimeSource) *Rule {
		return compiled(tb, newest(by), nil).WithTimes(func(tag string) (int64, string) { return int64(len(tag)), "" })
	}
	return map[string]*Rule{
		"alphabetical":             compiled(tb, alphabetical("asc"), nil),
		"alphabetical, descending": compiled(tb, alphabetical("desc"), nil),
		"alphabetical, filtered":   compiled(tb, alphabetical("asc"), filtered(`(?i)^[a-z0-9]+-(.*)`, "$1")),
		"numerical":                compiled(tb, numerical("asc"), filtered(`(\d+)`, "$1")),
		"numerical, descending":    compiled(tb, numerical("desc"), filtered(`(\d+)`, "$1")),
		"semver":                   compiled(tb, semVer("*-0"), filtered(`(\d+)`, "$1.0.0")),
		"newest, created":          withTimes(v1.TimeCreated),
		"newest, first seen":       withTimes(v1.TimeFirstSeen),
	}
}

// TestReferrerTags_AreIgnored covers attestations in a snapshot, which no kind of policy may select
// (flux2#5643, source-controller#1961).
func TestReferrerTags_AreIgnored(t *testing.T) {
	var images, all []string
	for tag := range imageTags {
		images = append(images, tag)
	}
	all = slices.Clone(images)
	for tag := range referrerTags {
		all = append(all, tag)
	}
	slices.Sort(all)
	for name, rule := range everyPolicy(t) {
		t.Run(name, func(t *testing.T) {
			want, found := rule.Select(images)
			got, stillFound := rule.Select(all)
			if got != want || !found || !stillFound {
				t.Errorf("got %+v, want %+v", got, want)
			}
			NewWithT(t).Expect(slices.Collect(rule.Ranking(all))).To(Equal(slices.Collect(rule.Ranking(images))), "ranking")
			accumulator := rule.NewAccumulator()
			for part := range slices.Chunk(all, 3) {
				accumulator.Add(part)
			}
			if best, _ := accumulator.Best(); best != want {
				t.Errorf("added in parts: got %+v, want %+v", best, want)
			}
			checkReferrerTagsAlone(t, rule, want.Tag)
		})
	}
}

// checkReferrerTagsAlone checks that each referrer tag is rejected with the right cause and ranks
// below the selected tag.
func checkReferrerTagsAlone(t *testing.T, rule *Rule, selected string) {
	t.Helper()
	for tag := range referrerTags {
		if v := rule.Evaluate(tag); v.Cause != CauseReferrer || rule.MatchesFilter(tag) || rule.Compare(selected, tag) <= 0 {
			t.Errorf("%s: got %+v", tag, v)
		}
		if choice, found := rule.Select([]string{tag}); found {
			t.Errorf("alone: got %+v", choice)
		}
	}
}

// FuzzReferrerTags expects no policy to select a referrer tag, whatever other tags there are.
func FuzzReferrerTags(f *testing.F) {
	for tag := range referrerTags {
		f.Add(tag, "1.0.0", tag+"0")
	}
	f.Add("sha256-"+hex64+".x", "", strings.Repeat("f", 128))
	rules := everyPolicy(f)
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for name, rule := range rules {
			tags := []string{a, b, "sha256-" + hex64, c, "sha256-" + hex64 + ".att"}
			best, found := rule.Select(tags)
			if found && IsReferrerTag(best.Tag) || IsReferrerTag(a) && rule.Evaluate(a).Accepted() {
				t.Errorf("%s: from %q got %q", name, tags, best.Tag)
			}
			if want, wanted := rule.Select(slices.DeleteFunc(tags, IsReferrerTag)); found != wanted || best != want {
				t.Errorf("%s: got %+v, without them %+v", name, best, want)
			}
		}
	})
}
