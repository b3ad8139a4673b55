// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission/images"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
)

// VerifierFactory makes the verifiers of policies.
type VerifierFactory interface {
	// Verifier returns the verifier of a policy with spec.verify. It reads Secrets.
	Verifier(ctx context.Context, policy *v1.ImagePolicy) (images.Verifier, error)
	// Forget removes the cached verifier of a deleted policy.
	Forget(policy types.NamespacedName)
}

// verifier returns the policy's verifier, nil without spec.verify.
func (w *Worker) verifier(ctx context.Context, policy *v1.ImagePolicy) (images.Verifier, error) {
	if policy.Spec.Verify == nil {
		return nil, nil
	}
	return w.Verifiers.Verifier(ctx, policy)
}

// SignatureVerifiers is the VerifierFactory that reads the Secrets of policies.
type SignatureVerifiers struct {
	// Reader reads Secrets.
	Reader client.Reader
	// Public is the trusted root of policies without spec.verify.trustedRootSecretRef.
	Public *signature.PublicRoot
	// Retry is the interval at which a Secret that can't be used is read again.
	Retry time.Duration

	cached reconcile.PerObject[cachedVerifier]
}

// cachedVerifier is a verifier with the versions of the policy and the Secret that it was made
// from.
type cachedVerifier struct {
	uid        types.UID
	generation int64
	secret     string
	verifier   images.Verifier
}

// Verifier implements VerifierFactory.
func (s *SignatureVerifiers) Verifier(ctx context.Context, policy *v1.ImagePolicy) (images.Verifier, error) {
	secret, err := images.Secret(ctx, s.Reader, policy)
	if errors.Is(err, images.ErrNoSecret) {
		return nil, conditions.Waiting(v1.VerificationErrorReason, s.Retry, err)
	}
	if err != nil {
		return nil, err
	}
	entry := cachedVerifier{uid: policy.UID, generation: policy.Generation, secret: string(secret.UID) + secret.ResourceVersion}
	name := client.ObjectKeyFromObject(policy)
	cached := s.cached.Get(name)
	if entry.verifier = cached.verifier; cached != entry {
		if entry.verifier, err = images.NewVerifier(policy, secret, s.Public); err != nil {
			return nil, s.classifyRuleError(policy, secret, err)
		}
		s.cached.Update(name, func(cachedVerifier, bool) cachedVerifier { return entry })
	}
	return entry.verifier, nil
}

// Forget implements VerifierFactory.
func (s *SignatureVerifiers) Forget(policy types.NamespacedName) { s.cached.Forget(policy) }

// classifyRuleError wraps the error about spec.verify. Without a Secret, or if the error is in the
// policy, the policy stalls. Otherwise the Secret may be invalid, which is not watched, so the
// policy is retried. An error about neither is returned as it is.
func (s *SignatureVerifiers) classifyRuleError(policy *v1.ImagePolicy, secret *corev1.Secret, err error) error {
	invalid, ok := errors.AsType[*signature.InvalidError](err)
	switch {
	case !ok:
		return err
	case secret.Name == "" || invalid.InSpec():
		return conditions.Stalled(v1.InvalidPolicyReason, fmt.Errorf("spec.verify can't be used: %w", err))
	}
	return conditions.Waiting(v1.VerificationErrorReason, s.Retry, fmt.Errorf(
		"spec.verify can't be used with Secret '%s/%s': %w", policy.Namespace, secret.Name, err))
}
