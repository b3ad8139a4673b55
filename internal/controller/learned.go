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
	"errors"

	"github.com/fluxcd/image-reflector-controller/internal/candidate"
	"github.com/fluxcd/image-reflector-controller/internal/outcome"
)

var errImageReplaced = errors.New("the ImageRepository has the tags of another image by now")

// save keeps what was learned of the images of an origin. Where the tags of another
// image took their place meanwhile, it is about none that is known, and all begins anew.
func (w *ImagePolicies) save(ctx context.Context, from origin, learned map[string]candidate.Fact) error {
	if len(learned) == 0 {
		return nil
	}
	ctx, key := context.WithoutCancel(ctx), storeKey(from.repo)
	info, err := w.Store.Info(ctx, key)
	if err != nil {
		return err
	}
	if info.Image != from.snapshot.Image {
		return outcome.Deferred(goOn, errImageReplaced)
	}
	return w.Facts.PutFacts(ctx, key, learned)
}
