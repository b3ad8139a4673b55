/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package candidate

// Fact is what was learned of the image that a tag points at. Of a tag one fact is
// kept: that of the digest which it pointed at when it was last looked at.
type Fact struct {
	// Digest is what the tag pointed at, "sha256:…".
	Digest string
	// Seen is when the tag was first seen to point at it, in seconds since the
	// epoch.
	Seen int64
	// Moved says that the tag was known to point at something else before.
	Moved bool
	// Read says that the image was read, so that what follows is known.
	Read bool
	// Created is when the image says that it was made, in seconds since the
	// epoch, and zero where it does not say.
	Created int64
	// Platforms are those that the image has, such as "linux/arm64/v8", sorted.
	Platforms []string
	// Verdicts are what became of verifications, those of the last rules at the
	// most.
	Verdicts []Verdict
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
