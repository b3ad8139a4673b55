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

package signature

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// Registry is what a Verifier asks a registry for. A *registry.Client is one.
type Registry interface {
	Manifest(ctx context.Context, img image.Name, reference string, auth registry.AuthOptions) (registry.Manifest, error)
	Blob(ctx context.Context, img image.Name, digest string, limit int64, auth registry.AuthOptions) ([]byte, error)
	Referrers(ctx context.Context, img image.Name, digest string, auth registry.AuthOptions) ([]registry.Referrer, error)
}

// Verifier verifies signatures by one rule, whose keys are parsed already. It is
// safe for concurrent use.
type Verifier struct {
	registry    Registry
	method      method
	fingerprint string
}

// method is one of the ways in which images are signed.
type method interface {
	// verify looks at the signatures of an image.
	verify(ctx context.Context, s subject) (Verdict, error)
}

// New returns the Verifier of a rule. It asks nobody for anything. It fails with
// an *InvalidError where the rule can't be followed.
func New(rule Rule, reg Registry, public *PublicRoot) (*Verifier, error) {
	m, err := rule.method(public)
	if err != nil {
		return nil, err
	}
	return &Verifier{registry: reg, method: m, fingerprint: rule.fingerprint()}, nil
}

// Fingerprint is equal for equal rules, and differs where anything that decides
// differs. It is the same in every process, and tells no secret.
func (v *Verifier) Fingerprint() string { return v.fingerprint }

// Verify says whether the image of a digest is signed as the rule demands. It
// fails where that can't be told now: with an *registry.Error or a
// *registry.BusyError where it is the registry, or with an *UnavailableError.
func (v *Verifier) Verify(ctx context.Context, img image.Name, digest string, auth registry.AuthOptions) (Verdict, error) {
	if !image.IsDigest(digest) {
		return Verdict{}, &UnavailableError{detail: "the digest of the image is not known"}
	}
	return v.method.verify(ctx, subject{registry: v.registry, image: img, digest: digest, auth: auth})
}

// Verdict is whether an image is signed. The zero value says no.
type Verdict struct {
	signer string // "" where it was rejected
	reason string
}

// pass returns the verdict about an image that someone signed.
func pass(signer string) Verdict { return Verdict{signer: signer} }

// reject returns the verdict about an image that is not signed as demanded.
func reject(reason string) Verdict { return Verdict{reason: reason} }

// Passed reports whether the image is signed as demanded.
func (v Verdict) Passed() bool { return v.signer != "" }

// Signer names who signed an image that passed, such as `key "cosign.pub"`.
func (v Verdict) Signer() string { return v.signer }

// Reason says why an image was rejected. It is the same for the same image.
func (v Verdict) Reason() string { return v.reason }

// subject is an image whose signatures are asked for.
type subject struct {
	registry Registry
	image    image.Name
	digest   string
	auth     registry.AuthOptions
}

// manifest fetches a manifest of the image's repository.
func (s subject) manifest(ctx context.Context, reference string) (registry.Manifest, error) {
	return s.registry.Manifest(ctx, s.image, reference, s.auth)
}

// blob fetches a blob of the image's repository.
func (s subject) blob(ctx context.Context, digest string) ([]byte, error) {
	return s.registry.Blob(ctx, s.image, digest, maxBlob, s.auth)
}

// referrers lists what refers to the image.
func (s subject) referrers(ctx context.Context) ([]registry.Referrer, error) {
	return s.registry.Referrers(ctx, s.image, s.digest, s.auth)
}

// hashOf returns the digest as bytes.
func (s subject) hash() []byte {
	sum, err := hex.DecodeString(s.digest[len("sha256:"):])
	if err != nil {
		return nil // Verify has checked it
	}
	return sum
}

// fingerprint hashes fields in such a way that their borders count.
func fingerprint(fields ...string) string {
	hash := sha256.New()
	for _, field := range fields {
		hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field))))
		hash.Write([]byte(field))
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// sortedFields returns the entries of a map as fields, in the order of the keys.
func sortedFields(m map[string][]byte) []string {
	fields := make([]string, 0, 2*len(m))
	for _, key := range sortedKeys(m) {
		fields = append(fields, key, string(m[key]))
	}
	return fields
}

// sortedKeys returns the keys of a map in order.
func sortedKeys(m map[string][]byte) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
