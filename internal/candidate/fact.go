// SPDX-License-Identifier: Apache-2.0

package candidate

import (
	"slices"
	"time"
)

// What stands for times of creation that are not known.
const (
	// CreatedUnread says that nobody looked yet.
	CreatedUnread int64 = 0
	// CreatedUnsaid says that the image does not say. Nor does one that has a time which
	// builders give to all images, for builds that are reproducible.
	CreatedUnsaid int64 = -1
)

// Fact is what was learned of the image that a tag points at. Of a tag one fact is
// kept: that of the digest which it pointed at when it was last looked at.
type Fact struct {
	// Digest is what the tag pointed at, "sha256:…". It is empty where the
	// registry lists the tag and has no image for it.
	Digest string
	// Seen is when the tag was first seen to point at it, in seconds since the
	// epoch.
	Seen int64
	// Moved says that the tag was known to point at something else before.
	Moved bool
	// Created is when the image says that it was made, in seconds since the
	// epoch, CreatedUnread or CreatedUnsaid.
	Created int64
	// CreatedBy is the source of Created.
	CreatedBy CreatedBy
	// Read says that the platforms are known.
	Read bool
	// Platforms are those that the image has, each in its one spelling.
	Platforms []string
	// Verdicts are what became of verifications, those of the last rules at the
	// most.
	Verdicts []Verdict
}

// At returns what is known when the tag is seen to point at a digest: nothing of
// what was known of another one.
func (f Fact) At(digest string, now time.Time) Fact {
	if f.Digest == digest {
		return f
	}
	return Fact{Digest: digest, Seen: now.Unix(), Moved: f.Digest != ""}
}

// VerdictOf returns what became of the verification by a rule, and whether it was
// tried.
func (f Fact) VerdictOf(rule string) (Verdict, bool) {
	for _, v := range f.Verdicts {
		if v.Rule == rule {
			return v, true
		}
	}
	return Verdict{}, false
}

// WithVerdict returns the fact with what became of a verification at some time.
// Verdicts of other rules make way for it, the oldest first.
func (f Fact) WithVerdict(rule, signer, problem string, now time.Time) Fact {
	v := Verdict{Rule: rule, Signer: short(signer), Problem: short(problem), Since: now.Unix(), At: now.Unix()}
	if old, found := f.VerdictOf(rule); found && old.Problem == v.Problem && old.Signer == v.Signer {
		v.Since = old.Since
	}
	others := slices.DeleteFunc(slices.Clone(f.Verdicts), func(o Verdict) bool { return o.Rule == rule })
	f.Verdicts = append(others[max(0, len(others)-MaxVerdicts+1):], v)
	return f
}

// MaxVerdicts is how many verdicts are kept of an image: each rule of a policy
// makes its own.
const MaxVerdicts = 4

// Verdict is what became of the verification of an image by one rule.
type Verdict struct {
	// Rule stands for the rule and its keys. Another rule makes another verdict.
	Rule string
	// Since is when the verdict was first the same, At when it was last made, in
	// seconds since the epoch.
	Since, At int64
	// Signer says who signed. It is empty where the image was rejected.
	Signer string
	// Problem says why the image was rejected. It is empty where it passed.
	Problem string
}

// Passed reports whether the image was verified.
func (v Verdict) Passed() bool { return v.Problem == "" }
