// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

var errImageReplaced = errors.New("the ImageRepository has the tags of another image by now")

// saveFacts keeps what was learned of the images of an origin. Where the tags of another
// image took their place meanwhile, it is about none that is known, and all begins anew.
func (w *Worker) saveFacts(ctx context.Context, from tagSource, learned map[string]admission.ImageInfo) error {
	if len(learned) == 0 {
		return nil
	}
	ctx, key := context.WithoutCancel(ctx), store.KeyOf(from.repo)
	info, err := w.Store.Info(ctx, key)
	if err != nil {
		return err
	}
	if info.Image != from.snapshot.Image {
		return conditions.Deferred(yieldDelay, errImageReplaced)
	}
	return w.Store.PutFacts(ctx, key, learned)
}
