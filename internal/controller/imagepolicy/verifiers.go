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
	// Verifier returns the one of a policy that has spec.verify. It reads Secrets.
	Verifier(ctx context.Context, policy *v1.ImagePolicy) (images.Verifier, error)
	// Forget drops what is remembered of a policy that is gone.
	Forget(policy types.NamespacedName)
}

// verifier returns the policy's verifier, nil where it has none.
func (w *Worker) verifier(ctx context.Context, policy *v1.ImagePolicy) (images.Verifier, error) {
	if policy.Spec.Verify == nil {
		return nil, nil
	}
	return w.Verifiers.Verifier(ctx, policy)
}

// SignatureVerifiers makes the verifiers of policies, by the Secrets in their namespaces.
type SignatureVerifiers struct {
	// Reader reads Secrets.
	Reader client.Reader
	// Public is the trusted root of policies that name none.
	Public *signature.PublicRoot
	// Retry is the time between two looks at a Secret that can't be used.
	Retry time.Duration

	cached reconcile.PerObject[cachedVerifier]
}

// cachedVerifier is the verifier of a policy's generation and a Secret's version.
type cachedVerifier struct {
	uid        types.UID
	generation int64
	secret     string
	verifier   images.Verifier
}

// Verifier implements Verifiers.
func (s *SignatureVerifiers) Verifier(ctx context.Context, policy *v1.ImagePolicy) (images.Verifier, error) {
	secret, err := images.Secret(ctx, s.Reader, policy)
	if errors.Is(err, images.ErrNoSecret) {
		return nil, conditions.Waiting(v1.VerificationErrorReason, s.Retry, err)
	}
	if err != nil {
		return nil, err
	}
	now := cachedVerifier{uid: policy.UID, generation: policy.Generation, secret: string(secret.UID) + secret.ResourceVersion}
	name := client.ObjectKeyFromObject(policy)
	made := s.cached.Get(name)
	if now.verifier = made.verifier; made != now {
		if now.verifier, err = images.NewVerifier(policy, secret, s.Public); err != nil {
			return nil, s.classifyRuleError(policy, secret, err)
		}
		s.cached.Update(name, func(cachedVerifier, bool) cachedVerifier { return now })
	}
	return now.verifier, nil
}

// Forget drops what was made for a policy that is gone.
func (s *SignatureVerifiers) Forget(policy types.NamespacedName) { s.cached.Forget(policy) }

// classifyRuleError gives the error about a rule its kind. Where there is a Secret, it may be that,
// whose changes no watch sees.
func (s *SignatureVerifiers) classifyRuleError(policy *v1.ImagePolicy, secret *corev1.Secret, err error) error {
	if secret.Name == "" {
		return conditions.Stalled(v1.InvalidPolicyReason, fmt.Errorf("spec.verify can't be used: %w", err))
	}
	return conditions.Waiting(v1.VerificationErrorReason, s.Retry, fmt.Errorf(
		"spec.verify can't be used with Secret '%s/%s': %w", policy.Namespace, secret.Name, err))
}
