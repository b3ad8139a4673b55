// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

// readers is the number of images that are read concurrently.
const readers = 4

// ReadCreated reads the creation times of the images of tags. On error it also returns the results
// so far and starts no further reads. Of several errors it returns the one for the first tag in
// order, so that the same failure always has the same message.
func ReadCreated(
	ctx context.Context, images Images, tags []string, known map[string]ImageInfo, now time.Time,
) (map[string]ImageInfo, error) {
	read, errs := make([]ImageInfo, len(tags)), make([]error, len(tags))
	group, failed := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	started := 0
	for ; started < len(tags) && failed.Err() == nil; started++ {
		i := started
		group.Go(func() error { // uses ctx: reads in progress are completed after a failure
			read[i], errs[i] = readCreated(ctx, images, tags[i], known[tags[i]], now)
			return errs[i]
		})
	}
	_ = group.Wait() // returns the earliest error, not that of the first tag
	results := make(map[string]ImageInfo, started)
	var firstErr error
	for i := range started {
		if errs[i] == nil {
			results[tags[i]] = read[i]
		} else if firstErr == nil {
			firstErr = errs[i]
		}
	}
	if firstErr == nil && started < len(tags) {
		firstErr = ctx.Err()
	}
	return results, firstErr
}

func readCreated(ctx context.Context, images Images, tag string, info ImageInfo, now time.Time) (ImageInfo, error) {
	read, err := images.Read(ctx, tag, ReadOptions{Created: true})
	if errors.Is(err, ErrNotFound) {
		return ImageInfo{DigestSince: now.Unix(), Created: CreatedUnstated}, nil
	}
	return info.WithDigest(read.Digest, now).Merge(read), err
}
