// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

var errImageReplaced = errors.New("the ImageRepository now has the tags of another image")

// checkImage returns a DeferredError if the repository of a source was switched to another image since
// it was loaded: facts that were read from the store may be of the other image.
func (w *Worker) checkImage(ctx context.Context, source tagSource) error {
	info, err := w.Store.Info(ctx, reconcile.StoreKey(source.repo))
	if err != nil {
		return err
	}
	if info.Image != source.snapshot.Image {
		return conditions.Deferred(yieldDelay, errImageReplaced)
	}
	return nil
}

// saveFacts stores facts about the images of a source, if there are any. If checkImage fails, it
// stores nothing and returns that error.
func (w *Worker) saveFacts(ctx context.Context, source tagSource, facts map[string]admission.ImageInfo) error {
	ctx = context.WithoutCancel(ctx)
	if err := w.checkImage(ctx, source); err != nil || len(facts) == 0 {
		return err
	}
	return w.Store.PutFacts(ctx, reconcile.StoreKey(source.repo), facts)
}

// maxLookups is the number of tags whose facts are looked up one by one. Then all are read.
const maxLookups = 64

// knownFacts reads the facts of the images of a source when they are needed, each once.
type knownFacts struct {
	store   TagStore
	key     store.Key
	facts   map[string]admission.ImageInfo
	all     bool // facts has all of them
	lookups int
}

func (w *Worker) knownFacts(source tagSource) *knownFacts {
	return &knownFacts{store: w.Store, key: reconcile.StoreKey(source.repo), facts: map[string]admission.ImageInfo{}}
}

// of returns the facts of the image of a tag, zero if there are none.
func (k *knownFacts) of(ctx context.Context, tag string) (admission.ImageInfo, error) {
	fact, found := k.facts[tag]
	if found || k.all {
		return fact, nil
	}
	if k.lookups++; k.lookups > maxLookups {
		if err := k.readAll(ctx); err != nil {
			return fact, err
		}
		return k.facts[tag], nil
	}
	facts, all, err := k.store.FactsOf(ctx, k.key, tag)
	if err != nil {
		return fact, err
	}
	if all {
		k.facts, k.all = facts, true
	} else {
		k.facts[tag] = facts[tag]
	}
	return facts[tag], nil
}

func (k *knownFacts) readAll(ctx context.Context) error {
	facts, err := k.store.Facts(ctx, k.key)
	if err == nil {
		k.facts, k.all = facts, true
	}
	return err
}
