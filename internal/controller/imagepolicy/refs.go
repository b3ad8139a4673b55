// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"cmp"
	"fmt"
	"time"

	"github.com/go-logr/logr"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// migrateRefs sets missing refs from the deprecated fields that older versions wrote, and then the
// deprecated fields from the refs. A deprecated value that can't be parsed stays unchanged.
func migrateRefs(log logr.Logger, status *v1.ImagePolicyStatus) {
	status.LatestRef = migrateRef(log, status.LatestRef, status.LatestImage)
	status.ObservedPreviousRef = migrateRef(log, status.ObservedPreviousRef, status.ObservedPreviousImage)
	syncLegacy(status)
}

func migrateRef(log logr.Logger, ref *v1.ImageRef, legacy string) *v1.ImageRef {
	switch {
	case ref == nil && legacy != "":
		parsed, err := image.ParseRef(legacy)
		if err != nil {
			log.Info("a deprecated status field was not migrated", "problem", err.Error())
		}
		return parsed
	case ref != nil && ref.Name != ref.Image: // written by a client that sets only one of them
		return image.NewRef(cmp.Or(ref.Name, ref.Image), ref.Tag, ref.Digest)
	}
	return ref
}

// syncLegacy sets the deprecated fields from the refs. Without a ref, a value that could not be
// migrated stays unchanged.
func syncLegacy(status *v1.ImagePolicyStatus) {
	if status.LatestRef != nil {
		status.LatestImage = image.FormatRef(status.LatestRef)
	}
	if status.ObservedPreviousRef != nil {
		status.ObservedPreviousImage = image.FormatRef(status.ObservedPreviousRef)
	}
}

// setLatest sets the latest ref. If it differs from the current one, that becomes the previous ref,
// and the selection is added to the history and returned. Otherwise it returns zero.
func setLatest(c change, now time.Time) conditions.Selection {
	status := &c.policy.Status
	if status.LatestRef != nil && *status.LatestRef == *c.ref {
		confirmLatest(c.policy)
		return conditions.Selection{}
	}
	selected := c.selection()
	addHistory(status, c.entry(selected.Cause, now))
	if status.LatestRef != nil {
		status.ObservedPreviousRef = status.LatestRef
	}
	status.LatestRef = c.ref
	syncLegacy(status)
	return selected
}

// readyMessage returns the message about the latest image and the previous one.
func readyMessage(status v1.ImagePolicyStatus) string {
	latest, previous := status.LatestRef, status.ObservedPreviousRef
	if previous == nil {
		return fmt.Sprintf("Latest image tag for '%s' resolved to %s", latest.Name, tagAndDigest(latest))
	}
	old := tagAndDigest(previous)
	if previous.Name != latest.Name {
		old = previous.Name + ":" + old
	}
	return fmt.Sprintf("Latest image tag for '%s' updated from %s to %s", latest.Name, old, tagAndDigest(latest))
}

// unchangedMessage returns the message about a latest image that stays the same for a reason.
func unchangedMessage(status v1.ImagePolicyStatus, reason string) string {
	if status.LatestRef == nil {
		return reason
	}
	return fmt.Sprintf("Latest image tag for '%s' stays %s: %s", status.LatestRef.Name, tagAndDigest(status.LatestRef), reason)
}

func tagAndDigest(ref *v1.ImageRef) string {
	if ref.Digest == "" {
		return ref.Tag
	}
	return ref.Tag + "@" + ref.Digest
}
