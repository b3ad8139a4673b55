// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"encoding/hex"

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
	scheme      verifyScheme
	fingerprint string
}

// scheme is one of the ways in which images are signed.
type verifyScheme interface {
	// verify looks at the signatures of an image.
	verify(ctx context.Context, s subject) (Verdict, error)
}

// New returns the Verifier of a rule. It asks nobody for anything. It fails with
// an *InvalidError where the rule can't be followed.
func New(rule Rule, public *PublicRoot) (*Verifier, error) {
	m, err := rule.newScheme(public)
	if err != nil {
		return nil, err
	}
	return &Verifier{scheme: m, fingerprint: rule.fingerprint()}, nil
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
	return v.scheme.verify(ctx, subject{Repository: repo, image: img, digest: digest})
}

// Verdict is whether an image is signed. The zero value says no.
type Verdict struct {
	signer string // "" where it was rejected
	reason string
}

// reject returns the verdict about an image that is not signed as demanded.
func reject(reason string) Verdict { return Verdict{reason: reason} }

// Passed reports whether the image is signed as demanded.
func (v Verdict) Passed() bool { return v.signer != "" }

// Signer names who signed an image that passed, such as `key "cosign.pub"`.
func (v Verdict) Signer() string { return v.signer }

// Reason says why an image was rejected. It is the same for the same image.
func (v Verdict) Reason() string { return v.reason }

// subject is an image whose signatures are verified, and its repository.
type subject struct {
	Repository
	image  image.Name
	digest string
}

// hash returns the digest as bytes.
func (s subject) hash() []byte {
	sum, err := hex.DecodeString(s.digest[len("sha256:"):])
	if err != nil {
		return nil // Verify has checked it
	}
	return sum
}
