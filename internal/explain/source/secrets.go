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

// Get returns a Secret of the files; other kinds are not found.
func (o *Objects) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	secrets, _ := named[*corev1.Secret](o, key.Name, key.Namespace)
	if to, ok := into.(*corev1.Secret); ok && len(secrets) > 0 {
		secrets[0].object.DeepCopyInto(to)
		return nil
	}
	return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
}

// CheckVerification returns an error if spec.verify of a policy is invalid, whatever its Secret
// contains.
func CheckVerification(policy *v1.ImagePolicy) error {
	if policy.Spec.Verify == nil {
		return nil
	}
	return ruleError(policy, signature.CheckRequirements(policy.Spec.Verify.Attestations))
}

// ruleError wraps the error about the rule of a policy, as invalid input if it is.
func ruleError(policy *v1.ImagePolicy, err error) error {
	if _, ok := errors.AsType[*signature.InvalidError](err); !ok {
		return err
	}
	return Invalidf("spec.verify of ImagePolicy '%s': %w", policy.Name, err)
}

// Verifier returns the verifier of a policy with spec.verify, or a message why its signatures can't
// be verified here, since files may lack the Secret that it names. secrets is *Objects or *Cluster.
func Verifier(ctx context.Context, secrets client.Reader, policy *v1.ImagePolicy) (images.Verifier, string, error) {
	secret, err := images.Secret(ctx, secrets, policy)
	_, inFiles := secrets.(*Objects)
	switch {
	case errors.Is(err, images.ErrNoSecret) && inFiles:
		return nil, "passes the other gates, but its signatures were not checked: " +
			fmt.Sprintf("the files hold no Secret '%s' that can be read, add --filename with it", images.SecretRef(policy).Name), nil
	case errors.Is(err, images.ErrNoSecret):
		return nil, "", Invalid(err)
	case err != nil:
		return nil, "", err
	}
	verifier, err := images.NewVerifier(policy, secret, signature.NewPublicRoot())
	if err != nil {
		return nil, "", ruleError(policy, err)
	}
	return verifier, "", nil
}
