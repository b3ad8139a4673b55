// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
)

var errImageReplaced = errors.New("the ImageRepository now has the tags of another image")

// saveFacts stores facts about the images of a source. If the repository was switched to another
// image meanwhile, it stores nothing and returns a DeferredError.
func (w *Worker) saveFacts(ctx context.Context, source tagSource, facts map[string]admission.ImageInfo) error {
	if len(facts) == 0 {
		return nil
	}
	ctx, key := context.WithoutCancel(ctx), reconcile.StoreKey(source.repo)
	info, err := w.Store.Info(ctx, key)
	if err != nil {
		return err
	}
	if info.Image != source.snapshot.Image {
		return conditions.Deferred(yieldDelay, errImageReplaced)
	}
	return w.Store.PutFacts(ctx, key, facts)
}
