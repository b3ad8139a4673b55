// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// waiterKey identifies an object of either kind.
type waiterKey struct {
	kind string
	name types.NamespacedName
}

// Waiter returns the waiter that represents an object in the queue of a host limiter. The limiter
// calls wake when it can grant a ticket. If wake is nil, the object is not queued.
func Waiter(kind string, name types.NamespacedName, wake func(types.NamespacedName)) ratelimit.Waiter {
	if wake == nil {
		return ratelimit.Waiter{}
	}
	return ratelimit.Waiter{Key: waiterKey{kind, name}, Wake: func() { wake(name) }}
}

// RegistryAccess returns how to access the image of a repository in its registry. Credentials
// are read only when a request is about to be sent.
func RegistryAccess(auth registry.AuthOptionsGetter, repo *v1.ImageRepository, name image.Name) registry.Access {
	access := registry.Access{
		Image: name,
		Auth:  func(ctx context.Context) (registry.AuthOptions, error) { return auth.AuthOptions(ctx, repo) },
		MirrorAuth: func(ctx context.Context, mirror image.Name) (registry.AuthOptions, error) {
			return auth.MirrorAuthOptions(ctx, repo, mirror)
		},
		Anonymous: repo.Spec.SecretRef == nil && repo.Spec.ServiceAccountName == "" && repo.GetProvider() == v1.ProviderGeneric,
	}
	if ref := repo.Spec.ProxySecretRef; ref != nil {
		access.Proxy = repo.Namespace + "/" + ref.Name
	}
	return access
}

// ClassifyRegistryError wraps an error of the packages registry and signature in the error type
// of package conditions that says how it is retried. Other errors are returned unchanged.
func ClassifyRegistryError(err error) error {
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
	case failure.RetryAfter > 0: // the registry sent Retry-After
		return conditions.Waiting(failure.Reason(), failure.RetryAfter, err)
	default:
		return conditions.Retry(failure.Reason(), err)
	}
}

// StoreKey returns the key of the tags of an ImageRepository in the store.
func StoreKey(repo *v1.ImageRepository) store.Key {
	return store.Key{Namespace: repo.Namespace, Name: repo.Name, UID: repo.UID}
}
