// SPDX-License-Identifier: Apache-2.0

// Package selection selects the latest tag of an image repository.
//
// Compile turns a policy into a Rule and returns an error if the policy is invalid. A Rule
// evaluates each tag separately: it is a candidate or is rejected with a reason. No tag makes a
// policy fail.
//
// Candidates have a total order, so the selection depends only on the set of tags, not on their
// order or on duplicates. They are compared by key, which is the tag or the part of it that
// filterTags.extract selects:
//
//   - semver: by precedence as in semver.org §11, which ignores build metadata and a leading "v";
//   - numerical: by exact value, of any length;
//   - alphabetical: by the bytes of the key;
//   - natural: as CompareNatural does;
//   - newest: by the time of the tag or its image, for which WithTimes is required.
//
// Candidates with equal keys are ordered by the bytes of their tags: the greater tag ranks higher,
// whether the order is "asc" or "desc". So "v1.0.0" ranks above "1.0.0", and "build-07" above
// "build-007" if 7 is compared.
//
// The package is pure: it uses no client, clock or network.
package selection

// Rule is a compiled policy. It is immutable and safe for concurrent use.
type Rule struct {
	ranker
	text string
}

// Choice is a candidate that was selected or ranked.
type Choice struct {
	// Tag is the whole tag.
	Tag string
	// Key is what was compared: the tag, the part of it that filterTags.extract selects, or the
	// time of its image.
	Key string
}

// Verdict is the result of evaluating one tag.
type Verdict struct {
	// Tag is the whole tag.
	Tag string
	// Key is what is compared. It is empty if the tag does not pass the filter.
	Key string
	// Reason is the reason for a rejection, as the text after "the tag …". It is empty for a
	// candidate.
	Reason string
	// Cause is the kind of the reason, for statistics. It is empty for a candidate.
	Cause Cause
}

// Cause is a kind of reason for rejecting a tag.
type Cause string

// The causes, in the order in which a Rule checks them.
const (
	// CauseReferrer means that the tag is not one of an image, see IsReferrerTag.
	CauseReferrer Cause = "Referrer"
	// CauseExcluded means that spec.exclude contains the tag.
	CauseExcluded Cause = "HeldBack"
	// CausePattern means that filterTags.pattern does not match.
	CausePattern Cause = "PatternMismatch"
	// CauseNoVersion means that the key is not a version.
	CauseNoVersion Cause = "NoVersion"
	// CauseNoNumber means that the key is not a number.
	CauseNoNumber Cause = "NoNumber"
	// CausePrerelease means that the version is a prerelease and the range accepts none.
	CausePrerelease Cause = "Prerelease"
	// CauseRange means that the version is outside the range.
	CauseRange Cause = "OutOfRange"
	// CauseNoTime means that the time for comparing the tag is unknown.
	CauseNoTime Cause = "NoTime"
)

// Accepted reports whether the tag is a candidate.
func (v Verdict) Accepted() bool { return v.Reason == "" }

// ranker is implemented by the engine of each kind of policy.
type ranker interface {
	// MatchesFilter reports whether a tag passes the filter, so that its key is compared.
	MatchesFilter(tag string) bool
	// Evaluate evaluates a tag: it is a candidate or is rejected with a reason.
	Evaluate(tag string) Verdict
	// NewAccumulator returns an empty Accumulator.
	NewAccumulator() Accumulator
	// Compare returns a positive number if a ranks above b, a negative one if it ranks below, and
	// zero if both are the same tag. Rejected tags rank below candidates, ordered by their bytes.
	Compare(a, b string) int
	// Precedence explains why a ranks above b, as the text after "a ranks above b: ". It requires
	// two candidates for which Compare is positive.
	Precedence(a, b string) string
	withoutFilter() ranker
	yieldRest(best Choice, tags []string, yield func(Choice) bool)
}

// OfMatching returns a Rule for tags that already passed MatchesFilter. It does not check the filter
// again, unless filterTags.extract needs the match.
func (r *Rule) OfMatching() *Rule { return &Rule{ranker: r.withoutFilter(), text: r.text} }

// String returns a description of the rule for users, such as
//
//	highest version in the range ">=1.0.0", of the tags that match "^v", compared by "$ts"
func (r *Rule) String() string { return r.text }
