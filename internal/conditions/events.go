// SPDX-License-Identifier: Apache-2.0

package conditions

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Event is something to tell about an object.
type Event struct {
	// Warning says that something is wrong. Otherwise it is good news.
	Warning bool
	// Reason is the reason of the condition that the event tells of.
	Reason string
	// Message is for people.
	Message string
	// Metadata is for alerts that are routed or rendered by it.
	Metadata map[string]string
}

// Keys of an event's metadata.
const (
	revisionKey = "image.toolkit.fluxcd.io/revision"
	imageKey    = "image.toolkit.fluxcd.io/image"
	tagKey      = "image.toolkit.fluxcd.io/tag"
	digestKey   = "image.toolkit.fluxcd.io/digest"
)

// events returns what is worth telling about the change from before to after:
// at most one event. A change is not told where quiet says so.
func events(before, after Object, quiet bool) []Event {
	now := readyOf(after)
	if now == nil {
		return nil
	}
	switch {
	case now.Status == metav1.ConditionFalse && becameNotReady(before, after, now):
		return []Event{{Warning: true, Reason: now.Reason, Message: now.Message}}
	case now.Status == metav1.ConditionTrue && (recovered(before) || !quiet && changed(before, after)):
		return []Event{{Reason: now.Reason, Message: now.Message, Metadata: metadata(after)}}
	}
	return nil
}

// becameNotReady tells a failure once per generation. A dependency that a new
// object still waits for is no failure yet.
func becameNotReady(before, after Object, now *metav1.Condition) bool {
	was := readyOf(before)
	if was == nil || was.Status == metav1.ConditionUnknown {
		return now.Reason != meta.DependencyNotReadyReason
	}
	return was.Status != metav1.ConditionFalse || was.ObservedGeneration != after.GetGeneration()
}

func recovered(before Object) bool {
	was := readyOf(before)
	return was != nil && was.Status == metav1.ConditionFalse
}

// changed reports whether what the object says to its readers changed.
func changed(before, after Object) bool {
	switch after := after.(type) {
	case *v1.ImageRepository:
		return Revision(before.(*v1.ImageRepository)) != Revision(after)
	case *v1.ImagePolicy:
		return !sameRef(before.(*v1.ImagePolicy).Status.LatestRef, after.Status.LatestRef)
	}
	return false
}

// Revision returns the revision of the last scan, empty where there was none.
func Revision(repo *v1.ImageRepository) string {
	if repo.Status.LastScanResult == nil {
		return ""
	}
	return repo.Status.LastScanResult.Revision
}

func sameRef(a, b *v1.ImageRef) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Name == b.Name && a.Tag == b.Tag && a.Digest == b.Digest
}

func metadata(obj Object) map[string]string {
	switch obj := obj.(type) {
	case *v1.ImageRepository:
		return map[string]string{revisionKey: Revision(obj)}
	case *v1.ImagePolicy:
		ref := obj.Status.LatestRef
		if ref == nil {
			return nil
		}
		m := map[string]string{imageKey: ref.Name, tagKey: ref.Tag}
		if ref.Digest != "" {
			m[digestKey] = ref.Digest
		}
		return m
	}
	return nil
}
