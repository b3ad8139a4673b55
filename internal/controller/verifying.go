/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

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
