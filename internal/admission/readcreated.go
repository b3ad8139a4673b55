// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

// readers is how many images are read at a time.
const readers = 4

// ReadCreated reads when the images of some tags were created, and returns what was learned:
// also beside an error, after which no other image is begun. Of several errors that is the one
// about the first of the tags, so that the same failure has the same message each time.
func ReadCreated(ctx context.Context, images Images, tags []string, facts map[string]ImageInfo, now time.Time) (map[string]ImageInfo, error) {
	read, errs := make([]ImageInfo, len(tags)), make([]error, len(tags))
	group, failed := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	begun := 0
	for ; begun < len(tags) && failed.Err() == nil; begun++ {
		i := begun
		group.Go(func() error { // by ctx: what is under way is brought to its end
			read[i], errs[i] = readCreated(ctx, images, tags[i], facts[tags[i]], now)
			return errs[i]
		})
	}
	_ = group.Wait() // the first error in time
	learned := make(map[string]ImageInfo, begun)
	var first error
	for i := range begun {
		if errs[i] == nil {
			learned[tags[i]] = read[i]
		} else if first == nil {
			first = errs[i]
		}
	}
	if first == nil && begun < len(tags) {
		first = ctx.Err()
	}
	return learned, first
}

func readCreated(ctx context.Context, images Images, tag string, fact ImageInfo, now time.Time) (ImageInfo, error) {
	read, err := images.Read(ctx, tag, Wants{Created: true})
	if errors.Is(err, ErrNotFound) {
		return ImageInfo{DigestSince: now.Unix(), Created: CreatedUnsaid}, nil
	}
	return fact.WithDigest(read.Digest, now).Merge(read), err
}
