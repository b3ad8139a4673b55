// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"slices"
	"strings"
	"time"
)

// Values of Fact.Created where no time of creation is known.
const (
	// CreatedUnread is that of an image which was not read yet.
	CreatedUnread int64 = 0
	// CreatedUnsaid is that of an image which states no time, or one which builders give to
	// all images to make builds reproducible.
	CreatedUnsaid int64 = -1
)

// ImageInfo is what was learned of the image that a tag points at. One fact is kept of a tag: that
// of the digest which it pointed at when it was last looked at.
type ImageInfo struct {
	// Digest is what the tag pointed at, "sha256:…". It is empty where the registry lists the
	// tag and has no image for it.
	Digest string `cbor:"1,keyasint,omitempty"`
	// DigestSince is when the tag was first seen to point at it, in seconds since the epoch.
	DigestSince int64 `cbor:"2,keyasint,omitempty"`
	// DigestChanged reports that the tag pointed at another image before.
	DigestChanged bool `cbor:"3,keyasint,omitempty"`
	// Created is when the image states that it was created, in seconds since the epoch,
	// CreatedUnread or CreatedUnsaid.
	Created int64 `cbor:"4,keyasint,omitempty"`
	// CreatedBy is the source of Created.
	CreatedBy CreatedBy `cbor:"5,keyasint,omitempty"`
	// PlatformsKnown reports that the platforms are known.
	PlatformsKnown bool `cbor:"6,keyasint,omitempty"`
	// Platforms are those that the image provides, each in its one spelling.
	Platforms []string `cbor:"7,keyasint,omitempty"`
	// Verdicts are the results of verifications by the last MaxVerdicts rules.
	Verdicts []Verdict `cbor:"8,keyasint,omitempty"`
}

// WithDigest returns what is known when the tag is seen to point at a digest: nothing of what was
// known of another one.
func (f ImageInfo) WithDigest(digest string, now time.Time) ImageInfo {
	if f.Digest == digest {
		return f
	}
	return ImageInfo{Digest: digest, DigestSince: now.Unix(), DigestChanged: f.Digest != ""}
}

// Merge returns the fact with the platforms and the time of creation that were read of its image.
func (f ImageInfo) Merge(read ImageInfo) ImageInfo {
	if read.PlatformsKnown {
		f.PlatformsKnown, f.Platforms = true, read.Platforms
	}
	if read.Created != CreatedUnread {
		f.Created, f.CreatedBy = read.Created, read.CreatedBy
	}
	return f
}

// VerdictOf returns the result of the verification by a rule, and whether there was one.
func (f ImageInfo) VerdictOf(rule string) (Verdict, bool) {
	i := slices.IndexFunc(f.Verdicts, func(v Verdict) bool { return v.Rule == rule })
	if i < 0 {
		return Verdict{}, false
	}
	return f.Verdicts[i], true
}

// WithVerdict returns the fact with the result of a verification. Verdicts of other rules make
// way for it, the oldest first.
func (f ImageInfo) WithVerdict(rule, signer, problem string, now time.Time) ImageInfo {
	v := Verdict{Rule: rule, Signer: truncate(signer), Problem: truncate(problem), Since: now.Unix(), At: now.Unix()}
	if old, found := f.VerdictOf(rule); found && old.Problem == v.Problem && old.Signer == v.Signer {
		v.Since = old.Since
	}
	others := slices.DeleteFunc(slices.Clone(f.Verdicts), func(o Verdict) bool { return o.Rule == rule })
	f.Verdicts = append(others[max(0, len(others)-MaxVerdicts+1):], v)
	return f
}

// MaxVerdicts is how many verdicts are kept of an image: each rule of a policy makes its own.
const MaxVerdicts = 4

// Verdict is the result of the verification of an image by one rule.
type Verdict struct {
	// Rule is the fingerprint of the rule and its keys. Another rule makes another verdict.
	Rule string `cbor:"1,keyasint,omitempty"`
	// Since is when the verdict was first the same, At when it was last made, in seconds since
	// the epoch.
	Since int64 `cbor:"2,keyasint,omitempty"`
	At    int64 `cbor:"3,keyasint,omitempty"`
	// Signer names who signed. It is empty where the image was rejected.
	Signer string `cbor:"4,keyasint,omitempty"`
	// Problem is why the image was rejected. It is empty where it passed.
	Problem string `cbor:"5,keyasint,omitempty"`
}

// Passed reports whether the image was verified.
func (v Verdict) Passed() bool { return v.Problem == "" }

// maxText is how many bytes are kept of a text that is made of what is in an image.
const maxText = 768

// truncate returns a text without what exceeds maxText.
func truncate(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}
