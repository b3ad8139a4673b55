// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"maps"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// maxTimeReads is the number of images whose creation time is read in one reconcile. Other objects
// are processed before the next batch.
const maxTimeReads = 64

var errTimesMissing = errors.New("the creation times of more images must be read")

// withTimes returns the rule with the times that it compares, if it compares times, and the image
// infos that were read for it.
func (w *Worker) withTimes(
	ctx context.Context, rule *selection.Rule, source tagSource, remote *registryReader,
) (*selection.Rule, map[string]admission.ImageInfo, error) {
	switch rule.Times() {
	case v1.TimeFirstSeen:
		return rule.WithTimes(firstSeen(source)), nil, nil
	case v1.TimeCreated:
		facts, err := w.createdTimes(ctx, rule, source, remote)
		return rule.WithTimes(createdOf(facts, source.snapshot)), facts, err
	default:
		return rule, nil, nil
	}
}

func firstSeen(source tagSource) selection.Times {
	return func(tag string) (int64, string) {
		at, found := source.snapshot.FirstSeenAt(tag)
		if !found {
			return 0, "is not listed, so its first-seen time is unknown"
		}
		return at, ""
	}
}

func createdOf(facts map[string]admission.ImageInfo, snapshot scan.Snapshot) selection.Times {
	return func(tag string) (int64, string) {
		fact := facts[tag]
		switch {
		case fact.Created == admission.CreatedUnread:
			return 0, "was not read, so its creation time is unknown"
		case fact.Digest == "":
			return 0, "is listed, but the registry has no image for it"
		}
		return admission.NewCandidate(tag, snapshot, fact).CreationTime(), ""
	}
}

// createdTimes returns the image infos with the creation times. It reads those of new tags in
// batches, and returns a DeferredError until all are read.
func (w *Worker) createdTimes(
	ctx context.Context, rule *selection.Rule, source tagSource, remote *registryReader,
) (map[string]admission.ImageInfo, error) {
	facts, err := w.Store.Facts(ctx, reconcile.StoreKey(source.repo))
	if err != nil {
		return nil, err
	}
	candidates, err := source.matchingTags(ctx, rule)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var unread []string
	for _, tag := range candidates {
		if needsRead(facts[tag], now) {
			unread = append(unread, tag)
		}
	}
	if len(unread) == 0 {
		return facts, w.checkImage(context.WithoutCancel(ctx), source)
	}
	batch := unread[:min(len(unread), maxTimeReads)]
	newFacts, err := admission.ReadCreated(ctx, remote, batch, facts, now)
	if saveErr := w.saveFacts(ctx, source, newFacts); saveErr != nil {
		err = saveErr // without stored facts, an immediate retry would send the same requests again
	}
	switch {
	case err != nil:
		return nil, err
	case len(batch) < len(unread):
		return nil, conditions.Deferred(yieldDelay, errTimesMissing)
	}
	maps.Copy(facts, newFacts)
	return facts, nil
}

// notFoundTTL is the time until a tag for which the registry had no image is read again.
const notFoundTTL = 24 * time.Hour

// needsRead reports whether the image of a tag must be read.
func needsRead(fact admission.ImageInfo, now time.Time) bool {
	notFound := fact.Digest == "" && fact.Created == admission.CreatedUnstated
	return fact.Created == admission.CreatedUnread || notFound && !now.Before(time.Unix(fact.DigestSince, 0).Add(notFoundTTL))
}
