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

// OpenRepository returns a Repository. It sends no request.
type OpenRepository func(registry.Access) Repository

// registryReader reads the images of a tag source from the registry.
type registryReader struct {
	images.RegistryImages
	source tagSource
}

// newRegistryReader returns a reader of the source's images. Each session needs one ticket of the
// rate limiter, and reads credentials only when a request will be sent. The timeout of the
// ImageRepository includes all of that.
func (w *Worker) newRegistryReader(policy *v1.ImagePolicy, source tagSource, progress reconcile.ProgressFunc) *registryReader {
	var mu sync.Mutex // guards progress: images may be read concurrently
	session := func(ctx context.Context, message string, do func(context.Context, images.Repository) error) error {
		access := reconcile.RegistryAccess(w.Auth, source.scannedRepository(), source.name)
		access.Waiter = reconcile.Waiter(v1.ImagePolicyKind, client.ObjectKeyFromObject(policy), w.Wake)
		access.Granted = func() {
			mu.Lock()
			defer mu.Unlock()
			progress(message)
		}
		repo := w.Open(access)
		defer repo.Close()
		ctx, cancel := context.WithTimeout(ctx, source.repo.GetTimeout())
		defer cancel()
		return reconcile.ClassifyRegistryError(do(ctx, repo))
	}
	return &registryReader{RegistryImages: images.RegistryImages{Name: source.name, OpenSession: session}, source: source}
}
