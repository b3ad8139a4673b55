// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"cmp"
	"fmt"

	"github.com/go-logr/logr"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// migrateRefs fills refs that are missing from the deprecated fields which
// older versions wrote, and brings both into step. A deprecated value that
// can't be parsed is left alone.
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
			log.Info("a deprecated status field is left alone", "problem", err.Error())
		}
		return parsed
	case ref != nil && ref.Name != ref.Image: // a writer of the one left the other empty
		return image.NewRef(cmp.Or(ref.Name, ref.Image), ref.Tag, ref.Digest)
	}
	return ref
}

// syncLegacy makes the deprecated fields say what the refs say. Where there is
// no ref, a value that could not be migrated stays.
func syncLegacy(status *v1.ImagePolicyStatus) {
	if status.LatestRef != nil {
		status.LatestImage = image.FormatRef(status.LatestRef)
	}
	if status.ObservedPreviousRef != nil {
		status.ObservedPreviousImage = image.FormatRef(status.ObservedPreviousRef)
	}
}

// setLatest makes ref the latest one. What it replaces becomes the previous
// one, but only where it really differs.
func setLatest(status *v1.ImagePolicyStatus, ref *v1.ImageRef) {
	if status.LatestRef != nil && *status.LatestRef == *ref {
		return
	}
	if status.LatestRef != nil {
		status.ObservedPreviousRef = status.LatestRef
	}
	status.LatestRef = ref
	syncLegacy(status)
}

// readyMessage tells people the latest image, and what it replaced.
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

// keptMessage tells people why the latest image is still the one it was.
func keptMessage(status v1.ImagePolicyStatus, why string) string {
	if status.LatestRef == nil {
		return why
	}
	return fmt.Sprintf("Latest image tag for '%s' stays %s: %s", status.LatestRef.Name, tagAndDigest(status.LatestRef), why)
}

func tagAndDigest(ref *v1.ImageRef) string {
	if ref.Digest == "" {
		return ref.Tag
	}
	return ref.Tag + "@" + ref.Digest
}
