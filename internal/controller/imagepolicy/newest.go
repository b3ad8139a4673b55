// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// maxTimeReads is of how many images the times are read in one reconcile. Others get
// their turn before the next ones.
const maxTimeReads = 64

var errTimesMissing = errors.New("there are more images whose times are to be read")

// withTimes returns the rule with the times that it compares.
func (w *Worker) withTimes(ctx context.Context, rule *selection.Rule, from tagSource, remote *registryReader) (*selection.Rule, error) {
	switch rule.Times() {
	case v1.TimeFirstSeen:
		return rule.WithTimes(firstSeen(from)), nil
	case v1.TimeCreated:
		facts, err := w.createdTimes(ctx, rule, from, remote)
		return rule.WithTimes(createdOf(facts, from.snapshot)), err
	default:
		return rule, nil
	}
}

func firstSeen(from tagSource) selection.Times {
	return func(tag string) (int64, string) {
		at, found := from.snapshot.FirstSeenAt(tag)
		if !found {
			return 0, "is not listed, so that nobody knows when it was first seen"
		}
		return at, ""
	}
}

func createdOf(facts map[string]admission.ImageInfo, snapshot scan.Snapshot) selection.Times {
	return func(tag string) (int64, string) {
		fact := facts[tag]
		switch {
		case fact.Created == admission.CreatedUnread:
			return 0, "was not read, so that nobody knows when it was created"
		case fact.Digest == "":
			return 0, "is listed, but the registry has no image for it"
		}
		return admission.NewCandidate(tag, snapshot, fact).CreationTime(), ""
	}
}

// createdTimes returns when the images of the tags were created. Those of new tags are
// read, some of them at a time: until all are known, nothing is selected anew.
func (w *Worker) createdTimes(
	ctx context.Context, rule *selection.Rule, from tagSource, remote *registryReader,
) (map[string]admission.ImageInfo, error) {
	facts, err := w.Store.Facts(ctx, store.KeyOf(from.repo))
	if err != nil {
		return nil, err
	}
	considered, err := from.candidates(ctx, rule)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	unread := slices.DeleteFunc(considered, func(tag string) bool { return !needsRead(facts[tag], now) })
	if len(unread) == 0 {
		return facts, nil
	}
	some := unread[:min(len(unread), maxTimeReads)]
	learned, err := admission.ReadCreated(ctx, remote, some, facts, now)
	if unsaved := w.saveFacts(ctx, from, learned); unsaved != nil {
		err = unsaved // not to go on at once: it would ask for the same again
	}
	switch {
	case err != nil:
		return nil, err
	case len(some) < len(unread):
		return nil, conditions.Deferred(yieldDelay, errTimesMissing)
	}
	maps.Copy(facts, learned)
	return facts, nil
}

// notFoundTTL is how long a tag for which the registry had no image is not read again.
const notFoundTTL = 24 * time.Hour

// needsRead reports whether the image of a tag is to be read.
func needsRead(fact admission.ImageInfo, now time.Time) bool {
	gone := fact.Digest == "" && fact.Created == admission.CreatedUnsaid
	return fact.Created == admission.CreatedUnread || gone && !now.Before(time.Unix(fact.DigestSince, 0).Add(notFoundTTL))
}
