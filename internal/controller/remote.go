// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"sync"

	"github.com/fluxcd/pkg/apis/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission/images"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
)

// Repository is an image repository in a registry. Each operation fails with a
// *ratelimit.BusyError if it has to return later.
type Repository interface {
	images.Repository
	List(ctx context.Context, known registry.Fingerprint) (registry.TagList, error)
	Close()
}

var _ Repository = &registry.Repository{}

// OpenRepository opens an image repository, without a request.
type OpenRepository func(registry.Access) Repository

// registryReader is the tags and the images of one origin in the registry.
type registryReader struct {
	images.RegistryImages
	source tagSource
}

// newRegistryReader returns the tags of an origin. Each question needs one admission to the registry, and
// credentials are read only when a request will be made. The repository's timeout spans all of
// that.
func (w *ImagePolicies) newRegistryReader(policy *v1.ImagePolicy, from tagSource, begin reconcile.ProgressFunc) *registryReader {
	var mu sync.Mutex // guards begin: images may be read some at a time
	session := func(ctx context.Context, message string, do func(context.Context, images.Repository) error) error {
		access := accessOf(w.Auth, from.scannedRepository(), from.name)
		access.Waiter = waiterOf(v1.ImagePolicyKind, client.ObjectKeyFromObject(policy), w.Wake)
		access.Admitted = func() {
			mu.Lock()
			defer mu.Unlock()
			begin(message)
		}
		repo := w.Open(access)
		defer repo.Close()
		ctx, cancel := context.WithTimeout(ctx, from.repo.GetTimeout())
		defer cancel()
		return classifyRegistryError(do(ctx, repo))
	}
	return &registryReader{RegistryImages: images.RegistryImages{Name: from.name, Session: session}, source: from}
}

// classifyRegistryError gives an error of the packages registry and signature its kind.
func classifyRegistryError(err error) error {
	if busy, ok := errors.AsType[*ratelimit.BusyError](err); ok {
		return conditions.Deferred(busy.After, err)
	}
	failure, ok := errors.AsType[*registry.Error](err)
	unavailable, unverified := errors.AsType[*signature.UnavailableError](err)
	switch {
	case !ok && unverified:
		return conditions.Retry(v1.VerificationErrorReason, unavailable)
	case !ok:
		return err
	case failure.Reason() == meta.FeatureGateDisabledReason:
		return conditions.Stalled(meta.FeatureGateDisabledReason, err)
	case failure.RetryAfter > 0: // the registry said when
		return conditions.Waiting(failure.Reason(), failure.RetryAfter, err)
	default:
		return conditions.Retry(failure.Reason(), err)
	}
}
