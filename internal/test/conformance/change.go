// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Change returns the violations in the change from an earlier state of the same object to this one.
func (s *State) Change(before *State) []string {
	var found []string
	if s.observed < before.observed {
		found = append(found, fmt.Sprintf("the observed generation decreased from %d", before.observed))
	}
	for _, c := range s.conditions {
		previous := before.condition(c.Type)
		unchanged, sameTime := previous.Status == c.Status, previous.LastTransitionTime.Equal(&c.LastTransitionTime)
		if previous.Type != "" && unchanged != sameTime && !isSameSecond(previous, c) {
			found = append(found, fmt.Sprintf("%s changed from %s to %s, but its transition time does not match", c.Type, previous.Status, c.Status))
		}
	}
	if s.policy != nil {
		found = append(found, refChange(before.policy.Status, s.policy.Status)...)
	}
	return found
}

// isSameSecond reports whether the status changed within one second, the resolution of the time.
func isSameSecond(before, after metav1.Condition) bool {
	return before.Status != after.Status && before.LastTransitionTime.Equal(&after.LastTransitionTime)
}

// refChange checks that the previous ref changes together with the latest ref.
func refChange(before, after v1.ImagePolicyStatus) []string {
	oldRef, newRef := refOf(before.LatestRef), refOf(after.LatestRef)
	if before.LatestRef != nil && after.LatestRef == nil {
		return []string{"the latest ref was removed"}
	}
	previous := refOf(before.ObservedPreviousRef)
	if before.LatestRef != nil && oldRef != newRef {
		previous = oldRef
	}
	if got := refOf(after.ObservedPreviousRef); got != previous {
		return []string{fmt.Sprintf("the latest ref changed from %+v to %+v, but the previous one is %+v", oldRef, newRef, got)}
	}
	return nil
}

func refOf(ref *v1.ImageRef) v1.ImageRef {
	if ref == nil {
		return v1.ImageRef{}
	}
	return *ref
}
