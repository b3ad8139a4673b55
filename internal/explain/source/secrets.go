// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission/images"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
)

// Secrets reads the Secrets of a cluster, as the user who runs the command, or those
// of files. It reads nothing else.
type Secrets struct {
	client.Reader // of the cluster, nil for files
	files         *Objects
}

// Secrets returns the Secrets of the cluster.
func (c *Cluster) Secrets() *Secrets { return &Secrets{Reader: c.client} }

// Secrets returns the Secrets of the files.
func (o *Objects) Secrets() *Secrets { return &Secrets{files: o} }

// Get reads a Secret.
func (s *Secrets) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	if s.Reader != nil {
		return s.Reader.Get(ctx, key, into, opts...)
	}
	secrets, _ := named[*corev1.Secret](s.files, key.Name, key.Namespace)
	if to, ok := into.(*corev1.Secret); ok && len(secrets) > 0 {
		secrets[0].object.DeepCopyInto(to)
		return nil
	}
	return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
}

// Verifier returns the verifier of a policy that has spec.verify, or else why its signatures
// can't be verified here: files may lack the Secret that it names.
func (s *Secrets) Verifier(ctx context.Context, policy *v1.ImagePolicy) (images.Verifier, string, error) {
	secret, err := images.Secret(ctx, s, policy)
	switch {
	case errors.Is(err, images.ErrNoSecret) && s.Reader == nil:
		return nil, "passes the other gates, but its signatures were not checked: " +
			fmt.Sprintf("the files hold no Secret '%s' that can be read, add --filename with it", images.SecretRef(policy).Name), nil
	case errors.Is(err, images.ErrNoSecret):
		return nil, "", Invalid(err)
	case err != nil:
		return nil, "", err
	}
	verifier, err := images.NewVerifier(policy, secret, signature.NewPublicRoot())
	if err != nil {
		return nil, "", Invalidf("spec.verify of ImagePolicy '%s': %w", policy.Name, err)
	}
	return verifier, "", nil
}
