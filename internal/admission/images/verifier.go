// SPDX-License-Identifier: Apache-2.0

package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

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
	// Fingerprint identifies the rule and its keys.
	Fingerprint() string
	// DependsOnTime reports whether the result may change as time passes.
	DependsOnTime() bool
	// Verify returns the signer of the image at a digest, or the problem with its signatures as
	// the text after "the tag …". now is the time for rules that depend on it. The error reports
	// a verification that could not be completed.
	Verify(ctx context.Context, repo signature.Repository, name image.Name, digest string, now time.Time) (signer, problem string, err error)
}

// ErrNoSecret is returned if the Secret that spec.verify names does not exist.
var ErrNoSecret = errors.New("create it, or correct the name")

// SecretRef returns the Secret reference in spec.verify of a policy, or nil.
func SecretRef(policy *v1.ImagePolicy) *meta.LocalObjectReference {
	return cmp.Or(policy.Spec.Verify.SecretRef, policy.Spec.Verify.TrustedRootSecretRef)
}

// Secret returns the Secret that spec.verify of a policy names, or an empty one if it names none.
// It returns ErrNoSecret, or an error that names the Secret and the field.
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

// NewVerifier returns the Verifier for a policy and its Secret. public is the trusted root of
// policies without one. It fails with a *signature.InvalidError if the rule is invalid.
func NewVerifier(policy *v1.ImagePolicy, secret *corev1.Secret, public *signature.PublicRoot) (Verifier, error) {
	rule, err := signature.RuleOf(policy.Spec.Verify, secret.Data)
	if err != nil {
		return nil, err
	}
	v, err := signature.New(rule, public)
	if err != nil {
		return nil, err
	}
	return verifier{v}, nil
}

// verifier returns verdicts as the texts of a status.
type verifier struct{ *signature.Verifier }

// Verify implements Verifier.
func (v verifier) Verify(
	ctx context.Context, repo signature.Repository, name image.Name, digest string, now time.Time,
) (string, string, error) {
	verdict, err := v.Verifier.Verify(ctx, repo, name, digest, now)
	if err != nil || verdict.Passed() {
		return verdict.Signer(), "", err
	}
	return "", "is not verified: " + verdict.Reason(), nil
}
