// SPDX-License-Identifier: Apache-2.0

package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
)

// Verifier verifies signatures of images by the rule of a policy.
type Verifier interface {
	// Fingerprint is that of the rule and its keys.
	Fingerprint() string
	// Verify returns who signed the image at a digest, or else what is wrong with its
	// signatures, as what follows "the tag …". An error is neither.
	Verify(ctx context.Context, repo signature.Repository, name image.Name, digest string) (signer, problem string, err error)
}

// ErrNoSecret is the error about a Secret that spec.verify names and that does not exist.
var ErrNoSecret = errors.New("create it, or correct the name")

// SecretRef returns the reference to a Secret in spec.verify of a policy, nil where it has none.
func SecretRef(policy *v1.ImagePolicy) *meta.LocalObjectReference {
	return cmp.Or(policy.Spec.Verify.SecretRef, policy.Spec.Verify.TrustedRootSecretRef)
}

// Secret reads the Secret that spec.verify of a policy names, an empty one where it names none.
// It fails with ErrNoSecret, or with the error of the reader, which names the Secret and the field.
func Secret(ctx context.Context, secrets client.Reader, policy *v1.ImagePolicy) (*corev1.Secret, error) {
	secret, ref, field := &corev1.Secret{}, SecretRef(policy), "secretRef"
	if ref == nil {
		return secret, nil
	}
	if ref != policy.Spec.Verify.SecretRef {
		field = "trustedRootSecretRef"
	}
	key := types.NamespacedName{Namespace: policy.Namespace, Name: ref.Name}
	err := secrets.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("there is no Secret '%s', which spec.verify.%s names: %w", key, field, ErrNoSecret)
	}
	if err != nil {
		return nil, fmt.Errorf("the Secret '%s', which spec.verify.%s names, could not be read: %w", key, field, err)
	}
	return secret, nil
}

// NewVerifier returns the Verifier of a policy and its Secret. public is the trusted root of
// policies that name none. It fails with a *signature.InvalidError.
func NewVerifier(policy *v1.ImagePolicy, secret *corev1.Secret, public *signature.PublicRoot) (Verifier, error) {
	rule, err := signature.RuleOf(policy.Spec.Verify, secret.Data)
	if err != nil {
		return nil, err
	}
	made, err := signature.New(rule, public)
	if err != nil {
		return nil, err
	}
	return verifier{made}, nil
}

// verifier returns verdicts in the words of a status.
type verifier struct{ *signature.Verifier }

// Verify implements Verifier.
func (v verifier) Verify(ctx context.Context, repo signature.Repository, name image.Name, digest string) (string, string, error) {
	verdict, err := v.Verifier.Verify(ctx, repo, name, digest)
	if err != nil || verdict.Passed() {
		return verdict.Signer(), "", err
	}
	return "", "is not verified: " + verdict.Reason(), nil
}
