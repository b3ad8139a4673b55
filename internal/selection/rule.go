// SPDX-License-Identifier: Apache-2.0

// Package selection decides which of the tags of an image repository is the
// latest.
//
// A policy is compiled into a Rule, which is the only place where it can turn
// out to be invalid. A Rule judges one tag at a time: it is either a candidate
// or rejected with a reason, and no tag, however odd, fails the policy.
//
// Candidates have a total order, so an answer depends on the set of tags
// alone: not on the order in which they are listed, nor on duplicates. They
// are compared by key, which is the tag itself or the part of it that
// filterTags.extract takes out:
//
//   - semver: precedence as in semver.org §11, so build metadata and a leading
//     "v" do not count;
//   - numerical: the exact value, at any length;
//   - alphabetical: the bytes of the key;
//   - newest: the time of the tag or of its image, with which a Rule has to be
//     provided.
//
// Equal keys fall back to the bytes of the tags: the tag that is greater in
// byte order ranks higher, whether the order is "asc" or "desc". So "v1.0.0"
// ranks above "1.0.0", and "build-07" above "build-007" where 7 is compared.
//
// The package is pure: it knows no client, no clock and no network.
package selection

// Rule is a compiled policy. It is immutable, and safe for concurrent use.
type Rule struct {
	ranker
	text string
}

// Choice is a candidate that was selected or ranked.
type Choice struct {
	// Tag is the whole tag.
	Tag string
	// Key is what was compared: the tag itself unless filterTags.extract took a
	// part out of it, or the time of its image.
	Key string
}

// Verdict is what a Rule says about one tag.
type Verdict struct {
	// Tag is the whole tag.
	Tag string
	// Key is what is compared. It is empty where the tag does not match the
	// filter.
	Key string
	// Reason says why the tag is rejected, as what follows "the tag …". It is
	// empty for a candidate.
	Reason string
	// Cause is the kind of the reason, for those who count. It is empty for a
	// candidate.
	Cause Cause
}

// Cause is a kind of reason for which a tag is rejected.
type Cause string

// The causes, in the order in which a Rule asks for them.
const (
	// CauseReferrer is that the tag is not one of an image: see IsReferrerTag.
	CauseReferrer Cause = "Referrer"
	// CauseHeldBack is that spec.exclude names the tag.
	CauseHeldBack Cause = "HeldBack"
	// CausePattern is that filterTags.pattern does not match.
	CausePattern Cause = "PatternMismatch"
	// CauseNoVersion is that the key is no version.
	CauseNoVersion Cause = "NoVersion"
	// CauseNoNumber is that the key is no number.
	CauseNoNumber Cause = "NoNumber"
	// CausePrerelease is that the version is a prerelease, of which the range
	// takes none.
	CausePrerelease Cause = "Prerelease"
	// CauseRange is that the version is outside the range.
	CauseRange Cause = "OutOfRange"
	// CauseNoTime is that no time is known by which the tag could be compared.
	CauseNoTime Cause = "NoTime"
)

// Accepted reports whether the tag is a candidate.
func (v Verdict) Accepted() bool { return v.Reason == "" }

// ranker is what the kinds of policies have in common.
type ranker interface {
	// IsCandidate reports whether a tag is let through to be compared: it matches the
	// filter, and is not held back.
	Considers(tag string) bool
	// Evaluate says whether a tag is a candidate, and why not.
	Judge(tag string) Verdict
	// Accumulator returns a Selector without tags.
	Selector() Accumulator
	// Compare returns a positive number where a ranks above b, a negative one
	// where it ranks below, and zero where both are the same tag. A rejected tag
	// ranks below every candidate; two rejected tags compare by their bytes.
	Compare(a, b string) int
	// Precedence says why a ranks above b, as what follows "a ranks above b: ", for
	// two candidates of which Compare says so.
	Precedence(a, b string) string
	behind(best Choice, tags []string, yield func(Choice) bool)
}

// String describes the rule to people, such as
//
//	highest version in the range ">=1.0.0", of the tags that match "^v", compared by "$ts"
func (r *Rule) String() string { return r.text }
