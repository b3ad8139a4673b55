// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
)

// Signatures makes Verifiers, as the controller does.
type Signatures struct {
	Secrets *Secrets
	Public  *signature.PublicRoot
}

var _ Verifiers = Signatures{}

// Verifier implements Verifiers.
func (s Signatures) Verifier(ctx context.Context, policy *v1.ImagePolicy) (Verifier, error) {
	ref, field := policy.Spec.Verify.SecretRef, "secretRef"
	if ref == nil {
		ref, field = policy.Spec.Verify.TrustedRootSecretRef, "trustedRootSecretRef"
	}
	secret := &corev1.Secret{}
	if ref != nil {
		key := types.NamespacedName{Namespace: policy.Namespace, Name: ref.Name}
		if err := s.Secrets.Get(ctx, key, secret); err != nil {
			return nil, unreadable(key, field, err)
		}
	}
	rule, err := signature.RuleOf(policy.Spec.Verify, secret.Data)
	if err != nil {
		return nil, Invalidf("spec.verify of ImagePolicy '%s': %w", policy.Name, err)
	}
	made, err := signature.New(rule, s.Public)
	if err != nil {
		return nil, Invalidf("spec.verify of ImagePolicy '%s': %w", policy.Name, err)
	}
	return verifier{made}, nil
}

func unreadable(key types.NamespacedName, field string, err error) error {
	if apierrors.IsNotFound(err) {
		return Invalidf("there is no Secret '%s', which spec.verify.%s names: create it, or correct the name", key, field)
	}
	return fmt.Errorf("the Secret '%s', which spec.verify.%s names, could not be read: %w", key, field, err)
}

// verifier says what it finds in the words of a status.
type verifier struct{ *signature.Verifier }

// Verify implements Verifier.
func (v verifier) Verify(ctx context.Context, repo signature.Repository, name image.Name, digest string) (string, string, error) {
	verdict, err := v.Verifier.Verify(ctx, repo, name, digest)
	switch {
	case err != nil:
		return "", "", err
	case verdict.Passed():
		return verdict.Signer(), "", nil
	default:
		return "", "is not verified: " + verdict.Reason(), nil
	}
}
