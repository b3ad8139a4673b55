// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"slices"
	"strings"
	"time"
)

// Values of ImageInfo.Created for an unknown creation time.
const (
	// CreatedUnread means that the image was not read yet.
	CreatedUnread int64 = 0
	// CreatedUnstated means that the image states no time, or the fixed time of a reproducible
	// build.
	CreatedUnstated int64 = -1
)

// ImageInfo describes the image that a tag pointed to when it was last checked. One value is stored
// per tag.
type ImageInfo struct {
	// Digest is the digest that the tag pointed to, "sha256:…". It is empty if the registry lists
	// the tag but has no image for it.
	Digest string `cbor:"1,keyasint,omitempty"`
	// DigestSince is when the tag was first seen with this digest, in seconds since the epoch.
	DigestSince int64 `cbor:"2,keyasint,omitempty"`
	// DigestChanged reports that the tag pointed to another image before.
	DigestChanged bool `cbor:"3,keyasint,omitempty"`
	// Created is the creation time that the image states, in seconds since the epoch,
	// CreatedUnread or CreatedUnstated.
	Created int64 `cbor:"4,keyasint,omitempty"`
	// CreatedBy is the source of Created.
	CreatedBy CreatedBy `cbor:"5,keyasint,omitempty"`
	// PlatformsKnown reports that the platforms are known.
	PlatformsKnown bool `cbor:"6,keyasint,omitempty"`
	// Platforms are the normalized platforms that the image provides.
	Platforms []string `cbor:"7,keyasint,omitempty"`
	// Verdicts are the verification results for the last MaxVerdicts rules.
	Verdicts []Verdict `cbor:"8,keyasint,omitempty"`
	// Revision and Source are the origin that the image states, if it was read anyway.
	Revision string `cbor:"9,keyasint,omitempty"`
	Source   string `cbor:"10,keyasint,omitempty"`
}

// Origin returns the source code that the image states to be built from.
func (i ImageInfo) Origin() Origin { return Origin{Revision: i.Revision, Source: i.Source} }

// WithOrigin returns the image info with an origin, unless that is empty.
func (i ImageInfo) WithOrigin(o Origin) ImageInfo {
	o = o.Or(i.Origin())
	i.Revision, i.Source = o.Revision, o.Source
	return i
}

// WithDigest returns the image info of a tag that points to a digest. If the digest has changed,
// nothing else is kept.
func (i ImageInfo) WithDigest(digest string, now time.Time) ImageInfo {
	if i.Digest == digest {
		return i
	}
	return ImageInfo{Digest: digest, DigestSince: now.Unix(), DigestChanged: i.Digest != ""}
}

// Merge returns the image info with the platforms, creation time and origin that were read.
func (i ImageInfo) Merge(read ImageInfo) ImageInfo {
	if read.PlatformsKnown {
		i.PlatformsKnown, i.Platforms = true, read.Platforms
	}
	if read.Created != CreatedUnread {
		i.Created, i.CreatedBy = read.Created, read.CreatedBy
	}
	return i.WithOrigin(read.Origin())
}

// VerdictOf returns the verification result for a rule, and whether there is one.
func (i ImageInfo) VerdictOf(rule string) (Verdict, bool) {
	index := slices.IndexFunc(i.Verdicts, func(v Verdict) bool { return v.Rule == rule })
	if index < 0 {
		return Verdict{}, false
	}
	return i.Verdicts[index], true
}

// WithVerdict returns the image info with a verification result. If there are too many, the oldest
// results of other rules are dropped.
func (i ImageInfo) WithVerdict(rule, signer, problem string, now time.Time) ImageInfo {
	v := Verdict{Rule: rule, Signer: truncate(signer), Problem: truncate(problem), Since: now.Unix(), At: now.Unix()}
	if old, found := i.VerdictOf(rule); found && old.Problem == v.Problem && old.Signer == v.Signer {
		v.Since = old.Since
	}
	others := slices.DeleteFunc(slices.Clone(i.Verdicts), func(o Verdict) bool { return o.Rule == rule })
	i.Verdicts = append(others[max(0, len(others)-MaxVerdicts+1):], v)
	return i
}

// MaxVerdicts is the maximum number of stored verdicts per image: one per rule, and two per rule
// that depends on the time.
const MaxVerdicts = 8

// Verdict is the result of verifying an image by one rule.
type Verdict struct {
	// Rule is the key of the rule, from its fingerprint.
	Rule string `cbor:"1,keyasint,omitempty"`
	// Since is the time of the first of the same results in a row, At that of the last, in seconds
	// since the epoch.
	Since int64 `cbor:"2,keyasint,omitempty"`
	At    int64 `cbor:"3,keyasint,omitempty"`
	// Signer names the signer. It is empty if the image was rejected.
	Signer string `cbor:"4,keyasint,omitempty"`
	// Problem is the reason for a rejection. It is empty if the image passed.
	Problem string `cbor:"5,keyasint,omitempty"`
}

// Passed reports whether the verification succeeded.
func (v Verdict) Passed() bool { return v.Problem == "" }

// maxText is the maximum length of a stored text that an image determines, in bytes.
const maxText = 768

// truncate cuts a text to maxText bytes.
func truncate(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}
