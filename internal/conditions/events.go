// SPDX-License-Identifier: Apache-2.0

package conditions

import (
	"maps"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Event is an event about an object.
type Event struct {
	// Warning selects the type Warning instead of Normal.
	Warning bool
	// Reason and Message are those of the Ready condition.
	Reason, Message string
	// Metadata is passed to the notification-controller, which can route and render alerts by it.
	Metadata map[string]string
}

// Keys of an event's metadata. The recorder of github.com/fluxcd/pkg/runtime/events passes them as
// annotations, and the notification-controller shows those with the prefix of the API group without
// it. "revision" is MetaRevisionKey of github.com/fluxcd/pkg/apis/event/v1beta1: the revision of the
// source.
const (
	revisionKey = "image.toolkit.fluxcd.io/revision"
	imageKey    = "image.toolkit.fluxcd.io/image"
	tagKey      = "image.toolkit.fluxcd.io/tag"
	digestKey   = "image.toolkit.fluxcd.io/digest"
	reasonKey   = "image.toolkit.fluxcd.io/reason"
	sourceKey   = "image.toolkit.fluxcd.io/source"
)

// events returns the event about the change from before to after, at most one. If the result
// suppresses it, only failures and recoveries are reported.
func events(before, after Object, result Result) []Event {
	ready := readyOf(after)
	if ready == nil {
		return nil
	}
	switch {
	case ready.Status == metav1.ConditionFalse && becameNotReady(before, after, ready):
		return []Event{{Warning: true, Reason: ready.Reason, Message: ready.Message}}
	case ready.Status == metav1.ConditionTrue && (recovered(before) || !result.SuppressEvent && changed(before, after)):
		return []Event{{Reason: ready.Reason, Message: ready.Message, Metadata: eventMetadata(after, result.Selection)}}
	}
	return nil
}

// becameNotReady reports whether a failure is new: it is reported once per generation. A new object
// that waits for a dependency has not failed yet.
func becameNotReady(before, after Object, ready *metav1.Condition) bool {
	previous := readyOf(before)
	if previous == nil || previous.Status == metav1.ConditionUnknown {
		return ready.Reason != meta.DependencyNotReadyReason
	}
	return previous.Status != metav1.ConditionFalse || previous.ObservedGeneration != after.GetGeneration()
}

func recovered(before Object) bool {
	previous := readyOf(before)
	return previous != nil && previous.Status == metav1.ConditionFalse
}

// changed reports whether the result in the status changed: the tags or the latest image.
func changed(before, after Object) bool {
	switch after := after.(type) {
	case *v1.ImageRepository:
		return Revision(before.(*v1.ImageRepository)) != Revision(after)
	case *v1.ImagePolicy:
		return !sameRef(before.(*v1.ImagePolicy).Status.LatestRef, after.Status.LatestRef)
	}
	return false
}

// Revision returns the revision of the last scan, "" if there was none.
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

func eventMetadata(obj Object, selection Selection) map[string]string {
	switch obj := obj.(type) {
	case *v1.ImageRepository:
		return map[string]string{revisionKey: Revision(obj)}
	case *v1.ImagePolicy:
		ref := obj.Status.LatestRef
		if ref == nil {
			return nil
		}
		m := map[string]string{
			imageKey: ref.Name, tagKey: ref.Tag, digestKey: ref.Digest,
			reasonKey: string(selection.Cause), revisionKey: selection.Revision, sourceKey: selection.Source,
		}
		maps.DeleteFunc(m, func(key, value string) bool { return value == "" && key != imageKey && key != tagKey })
		return m
	}
	return nil
}
