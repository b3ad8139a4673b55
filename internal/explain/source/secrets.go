// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission/images"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
)

// Secrets reads the Secrets of a cluster, as the user who runs the command, or those
// of files. It reads nothing else.
type Secrets struct {
	client.Reader // of the cluster, nil for files
	files         []found[corev1.Secret]
}

// Secrets returns the Secrets of the cluster.
func (c *Cluster) Secrets() *Secrets { return &Secrets{Reader: c.client} }

// Secrets returns the Secrets of the files.
func (o *Objects) Secrets() *Secrets { return &Secrets{files: o.secrets} }

// Get reads a Secret.
func (s *Secrets) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	if s.Reader != nil {
		return s.Reader.Get(ctx, key, into, opts...)
	}
	secret, ok := into.(*corev1.Secret)
	if !ok {
		return fmt.Errorf("files hold no %T that could be read", into)
	}
	if of := s.find(key); of != nil {
		of.DeepCopyInto(secret)
		for name, text := range secret.StringData { // as the API server does
			if secret.Data == nil {
				secret.Data = map[string][]byte{}
			}
			secret.Data[name] = []byte(text)
		}
		secret.StringData = nil
		return nil
	}
	return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
}

func (s *Secrets) find(key types.NamespacedName) *corev1.Secret {
	for _, secret := range s.files {
		if secret.object.Name == key.Name && agree(secret.object.Namespace, key.Namespace) {
			return secret.object
		}
	}
	return nil
}

// Missing returns the name of a Secret that a policy in files names for its
// signatures, and the files lack.
func (s *Secrets) Missing(policy *v1.ImagePolicy) string {
	if s.Reader != nil || policy.Spec.Verify == nil {
		return ""
	}
	verify := policy.Spec.Verify
	for _, ref := range []*meta.LocalObjectReference{verify.SecretRef, verify.TrustedRootSecretRef} {
		if ref != nil && s.find(types.NamespacedName{Namespace: policy.Namespace, Name: ref.Name}) == nil {
			return ref.Name
		}
	}
	return ""
}

// Verifier returns the verifier of a policy that has spec.verify.
func (s *Secrets) Verifier(ctx context.Context, policy *v1.ImagePolicy) (images.Verifier, error) {
	secret, err := images.Secret(ctx, s, policy)
	if errors.Is(err, images.ErrNoSecret) {
		return nil, Invalid(err)
	}
	if err != nil {
		return nil, err
	}
	verifier, err := images.NewVerifier(policy, secret, signature.NewPublicRoot())
	if err != nil {
		return nil, Invalidf("spec.verify of ImagePolicy '%s': %w", policy.Name, err)
	}
	return verifier, nil
}
