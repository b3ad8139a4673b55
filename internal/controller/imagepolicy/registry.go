// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission/images"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// Repository reads tags and images of an image repository in a registry. Its methods return a
// *ratelimit.BusyError if the rate limiter of the host defers the request.
type Repository interface {
	images.Repository
	Close()
}

// OpenRepository returns a Repository, without a request.
type OpenRepository func(registry.Access) Repository

// registryReader is the tags and the images of one origin in the registry.
type registryReader struct {
	images.RegistryImages
	source tagSource
}

// newRegistryReader returns the tags of an origin. Each question needs one admission to the registry, and
// credentials are read only when a request will be made. The repository's timeout spans all of
// that.
func (w *Worker) newRegistryReader(policy *v1.ImagePolicy, from tagSource, begin reconcile.ProgressFunc) *registryReader {
	var mu sync.Mutex // guards begin: images may be read some at a time
	session := func(ctx context.Context, message string, do func(context.Context, images.Repository) error) error {
		access := reconcile.RegistryAccess(w.Auth, from.scannedRepository(), from.name)
		access.Waiter = reconcile.Waiter(v1.ImagePolicyKind, client.ObjectKeyFromObject(policy), w.Wake)
		access.Admitted = func() {
			mu.Lock()
			defer mu.Unlock()
			begin(message)
		}
		repo := w.Open(access)
		defer repo.Close()
		ctx, cancel := context.WithTimeout(ctx, from.repo.GetTimeout())
		defer cancel()
		return reconcile.ClassifyRegistryError(do(ctx, repo))
	}
	return &registryReader{RegistryImages: images.RegistryImages{Name: from.name, Session: session}, source: from}
}
