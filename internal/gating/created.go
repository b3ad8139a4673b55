// SPDX-License-Identifier: Apache-2.0

package gating

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fluxcd/image-reflector-controller/internal/candidate"
	"github.com/fluxcd/image-reflector-controller/internal/inspect"
)

// readers is how many images are read at a time.
const readers = 4

// ReadCreated reads when the images of some tags were created, and returns what was
// learned: also beside an error, after which no other image is begun. Of several errors
// that is the one about the first of the tags, so that the same trouble is told in the
// same words each time.
func ReadCreated(
	ctx context.Context, asker Asker, tags []string, facts map[string]candidate.Fact, now time.Time,
) (map[string]candidate.Fact, error) {
	var (
		group   errgroup.Group // without its context: what is under way is brought to its end
		mu      sync.Mutex
		failed  error
		failing = len(tags) // which of them
	)
	learned := make(map[string]candidate.Fact, len(tags))
	group.SetLimit(readers)
	for i, tag := range tags {
		group.Go(func() error {
			mu.Lock()
			skip := i > failing
			mu.Unlock()
			if skip {
				return nil
			}
			fact, err := readCreated(ctx, asker, tag, facts[tag], now)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				learned[tag] = fact
			case i < failing:
				failed, failing = err, i
			}
			return nil
		})
	}
	_ = group.Wait() // each keeps its own error
	return learned, failed
}

func readCreated(ctx context.Context, asker Asker, tag string, fact candidate.Fact, now time.Time) (candidate.Fact, error) {
	img, err := asker.Image(ctx, tag, inspect.Wants{Created: true})
	if errors.Is(err, ErrGone) {
		return candidate.Fact{Seen: now.Unix(), Created: candidate.CreatedUnsaid}, nil
	}
	if err != nil {
		return fact, err
	}
	return Describe(fact.At(img.Digest, now), img), nil
}
