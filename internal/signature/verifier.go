// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// Repository is the image repository from which signatures are read. It is implemented
// by *registry.Repository.
type Repository interface {
	Manifest(ctx context.Context, reference string) (registry.Manifest, error)
	Blob(ctx context.Context, digest string, limit int64) ([]byte, error)
	Referrers(ctx context.Context, digest string) ([]registry.Referrer, error)
}

// Verifier verifies signatures according to one rule. It is safe for concurrent use.
type Verifier struct {
	scheme      verifyScheme
	fingerprint string
}

// verifyScheme verifies one kind of signatures.
type verifyScheme interface {
	// verify checks the signatures of an image.
	verify(ctx context.Context, s subject) (Verdict, error)
}

// New returns the Verifier of a rule, without making requests. It fails with an
// *InvalidError if the rule is invalid, or with another error if that is unknown. public is used by rules without a trusted root of
// their own, and may be nil.
func New(rule Rule, public *PublicRoot) (*Verifier, error) {
	scheme, err := rule.newScheme(public)
	if err != nil {
		return nil, err
	}
	return &Verifier{scheme: scheme, fingerprint: rule.fingerprint()}, nil
}

// Fingerprint returns a hash of the rule, which is equal for rules with the same
// verdicts only. It is the same in every process, and contains no secret.
func (v *Verifier) Fingerprint() string { return v.fingerprint }

// DependsOnTime reports whether the verdict about an image may change as time passes,
// because an expression of the rule uses the variable now.
func (v *Verifier) DependsOnTime() bool {
	a, ok := v.scheme.(*attestations)
	return ok && a.dependOnTime()
}

// Verify returns whether the image with a digest is signed according to the rule. img is
// the name of repo. now is the time for expressions. It fails with the error of repo, or with an
// *UnavailableError, if the result is currently unknown.
func (v *Verifier) Verify(ctx context.Context, repo Repository, img image.Name, digest string, now time.Time) (Verdict, error) {
	if !image.IsDigest(digest) {
		return Verdict{}, &UnavailableError{detail: "the digest of the image is not known"}
	}
	return v.scheme.verify(ctx, subject{Repository: repo, image: img, digest: digest, now: now})
}

// Verdict is the result of a verification. The zero value is a rejection.
type Verdict struct {
	signer string // "" if it was rejected
	reason string
}

// reject returns the verdict about an image that is not signed according to the rule.
func reject(reason string) Verdict { return Verdict{reason: reason} }

// Passed reports whether the image is signed according to the rule.
func (v Verdict) Passed() bool { return v.signer != "" }

// Signer returns the signer of an image that passed, such as `key "cosign.pub"`.
func (v Verdict) Signer() string { return v.signer }

// Reason returns why an image was rejected. It is the same for the same image.
func (v Verdict) Reason() string { return v.reason }

// subject is an image whose signatures are verified, and its repository.
type subject struct {
	Repository
	image  image.Name
	digest string
	now    time.Time // for expressions
}

// hash returns the digest as bytes.
func (s subject) hash() []byte {
	sum, err := hex.DecodeString(s.digest[len("sha256:"):])
	if err != nil {
		return nil // Verify has checked it
	}
	return sum
}
