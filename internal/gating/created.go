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

package gating

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fluxcd/image-reflector-controller/internal/candidate"
	"github.com/fluxcd/image-reflector-controller/internal/inspect"
)

// readers is how many images are read at a time.
const readers = 4

// ReadCreated reads when the images of some tags were created, and returns what was
// learned: also beside an error, after which no other image is begun.
func ReadCreated(
	ctx context.Context, asker Asker, tags []string, facts map[string]candidate.Fact, now time.Time,
) (map[string]candidate.Fact, error) {
	var (
		group  errgroup.Group // without its context: what is under way is brought to its end
		failed atomic.Bool
		mu     sync.Mutex
	)
	learned := make(map[string]candidate.Fact, len(tags))
	group.SetLimit(readers)
	for _, tag := range tags {
		group.Go(func() error {
			if failed.Load() {
				return nil
			}
			fact, err := readCreated(ctx, asker, tag, facts[tag], now)
			if err != nil {
				failed.Store(true)
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			learned[tag] = fact
			return nil
		})
	}
	err := group.Wait()
	return learned, err
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
