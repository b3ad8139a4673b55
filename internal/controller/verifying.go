// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"

	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
)

// Verifier says who signed images.
type Verifier interface {
	// Fingerprint stands for the rule and its keys.
	Fingerprint() string
	// Verify says who signed the image at a digest, or else what is wrong with its
	// signatures, as what follows "the tag …". An error is neither.
	Verify(ctx context.Context, repo signature.Repository, name image.Name, digest string) (string, string, error)
}

// Verifiers makes Verifiers.
type Verifiers interface {
	// Verifier returns the one of a policy that has spec.verify. It reads Secrets.
	Verifier(ctx context.Context, policy *v1.ImagePolicy) (Verifier, error)
	// Forget drops what is remembered of a policy that is gone.
	Forget(policy types.NamespacedName)
}

// verifier returns the policy's Verifier, nil where it has none.
func (w *ImagePolicies) verifier(ctx context.Context, policy *v1.ImagePolicy) (Verifier, error) {
	if policy.Spec.Verify == nil {
		return nil, nil
	}
	return w.Verifiers.Verifier(ctx, policy)
}
