// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/outcome"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
)

// Signatures makes the Verifiers of policies, by the Secrets in their namespaces.
type Signatures struct {
	// Reader reads Secrets.
	Reader client.Reader
	// Public is the trusted root of policies that name none.
	Public *signature.PublicRoot
	// Retry is the time between two looks at a Secret that can't be used.
	Retry time.Duration

	made perObject[madeVerifier]
}

// madeVerifier is the Verifier of a policy's generation and a Secret's version.
type madeVerifier struct {
	uid        types.UID
	generation int64
	secret     string
	verifier   Verifier
}

// Verifier implements Verifiers.
func (s *Signatures) Verifier(ctx context.Context, policy *v1.ImagePolicy) (Verifier, error) {
	secret, err := s.secret(ctx, policy)
	if err != nil {
		return nil, err
	}
	now := madeVerifier{uid: policy.UID, generation: policy.Generation, secret: string(secret.UID) + secret.ResourceVersion}
	name := client.ObjectKeyFromObject(policy)
	made := s.made.get(name)
	if now.verifier = made.verifier; made != now {
		rule, err := signature.RuleOf(policy.Spec.Verify, secret.Data)
		if err == nil {
			now.verifier, err = s.verifier(rule)
		}
		if err != nil {
			return nil, s.unusable(policy, secret, err)
		}
		s.made.update(name, func(madeVerifier, bool) madeVerifier { return now })
	}
	return now.verifier, nil
}

// Forget drops what was made for a policy that is gone.
func (s *Signatures) Forget(policy types.NamespacedName) { s.made.forget(policy) }

// secret reads the Secret that the policy names, an empty one where it names none.
func (s *Signatures) secret(ctx context.Context, policy *v1.ImagePolicy) (*corev1.Secret, error) {
	field, ref := "secretRef", policy.Spec.Verify.SecretRef
	if ref == nil {
		field, ref = "trustedRootSecretRef", policy.Spec.Verify.TrustedRootSecretRef
	}
	secret := &corev1.Secret{}
	if ref == nil {
		return secret, nil
	}
	err := s.Reader.Get(ctx, types.NamespacedName{Namespace: policy.Namespace, Name: ref.Name}, secret)
	if apierrors.IsNotFound(err) {
		return nil, outcome.Waiting(v1.VerificationErrorReason, s.Retry, fmt.Errorf(
			"there is no Secret '%s/%s', which spec.verify.%s names: create it, or correct the name", policy.Namespace, ref.Name, field))
	}
	return secret, err
}

func (s *Signatures) verifier(rule signature.Rule) (Verifier, error) {
	made, err := signature.New(rule, s.Public)
	if err != nil {
		return nil, err
	}
	return signatureVerifier{made}, nil
}

// unusable says what is wrong with a rule. Where there is a Secret, it may be that,
// of whose changes no watch tells.
func (s *Signatures) unusable(policy *v1.ImagePolicy, secret *corev1.Secret, err error) error {
	if secret.Name == "" {
		return outcome.Stalled(v1.InvalidPolicyReason, fmt.Errorf("spec.verify can't be used: %w", err))
	}
	return outcome.Waiting(v1.VerificationErrorReason, s.Retry, fmt.Errorf(
		"spec.verify can't be used with Secret '%s/%s': %w", policy.Namespace, secret.Name, err))
}

// signatureVerifier is a Verifier that says what it finds in the words of a status.
type signatureVerifier struct{ *signature.Verifier }

// Verify implements Verifier.
func (v signatureVerifier) Verify(ctx context.Context, repo signature.Repository, name image.Name, digest string) (string, string, error) {
	verdict, err := v.Verifier.Verify(ctx, repo, name, digest)
	if unavailable, ok := errors.AsType[*signature.UnavailableError](err); ok {
		return "", "", outcome.Retry(v1.VerificationErrorReason, unavailable)
	}
	if err != nil {
		return "", "", err
	}
	if verdict.Passed() {
		return verdict.Signer(), "", nil
	}
	return "", "is not verified: " + verdict.Reason(), nil
}
