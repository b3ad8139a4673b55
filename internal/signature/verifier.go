// SPDX-License-Identifier: Apache-2.0

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

// Repository is the repository of an image that is verified, from which its
// signatures are read. A *registry.Repository is one.
type Repository interface {
	Manifest(ctx context.Context, reference string) (registry.Manifest, error)
	Blob(ctx context.Context, digest string, limit int64) ([]byte, error)
	Referrers(ctx context.Context, digest string) ([]registry.Referrer, error)
}

// Verifier verifies signatures by one rule, whose keys are parsed already. It is
// safe for concurrent use.
type Verifier struct {
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
func New(rule Rule, public *PublicRoot) (*Verifier, error) {
	m, err := rule.method(public)
	if err != nil {
		return nil, err
	}
	return &Verifier{method: m, fingerprint: rule.fingerprint()}, nil
}

// Fingerprint is equal for equal rules, and differs where anything that decides
// differs. It is the same in every process, and tells no secret.
func (v *Verifier) Fingerprint() string { return v.fingerprint }

// Verify says whether the image of a digest is signed as the rule demands. It
// fails where that can't be told now: with the error of the repository, or with an
// *UnavailableError. img names the repository.
func (v *Verifier) Verify(ctx context.Context, repo Repository, img image.Name, digest string) (Verdict, error) {
	if !image.IsDigest(digest) {
		return Verdict{}, &UnavailableError{detail: "the digest of the image is not known"}
	}
	return v.method.verify(ctx, subject{repository: repo, image: img, digest: digest})
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
	repository Repository
	image      image.Name
	digest     string
}

// manifest fetches a manifest of the image's repository.
func (s subject) manifest(ctx context.Context, reference string) (registry.Manifest, error) {
	return s.repository.Manifest(ctx, reference)
}

// blob fetches a blob of the image's repository.
func (s subject) blob(ctx context.Context, digest string) ([]byte, error) {
	return s.repository.Blob(ctx, digest, maxBlob)
}

// referrers lists what refers to the image.
func (s subject) referrers(ctx context.Context) ([]registry.Referrer, error) {
	return s.repository.Referrers(ctx, s.digest)
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
