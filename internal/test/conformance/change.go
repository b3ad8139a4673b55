// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Change returns what is wrong with the step from an earlier state of the same
// object to this one, nothing where it is good.
func (s *State) Change(before *State) []string {
	var found []string
	if s.observed < before.observed {
		found = append(found, fmt.Sprintf("the observed generation went back from %d", before.observed))
	}
	for _, c := range s.conditions {
		was := before.condition(c.Type)
		if was.Type != "" && (was.Status == c.Status) != was.LastTransitionTime.Equal(&c.LastTransitionTime) && !sameSecond(was, c) {
			found = append(found, fmt.Sprintf("%s went from %s to %s, and the time of its transition does not agree", c.Type, was.Status, c.Status))
		}
	}
	if s.policy != nil {
		found = append(found, moved(before.policy.Status, s.policy.Status)...)
	}
	return found
}

// sameSecond: times have no parts of a second, within which a condition may turn.
func sameSecond(was, is metav1.Condition) bool {
	return was.Status != is.Status && was.LastTransitionTime.Equal(&is.LastTransitionTime)
}

// moved: whoever reads the latest ref and the previous one reads of one move.
func moved(before, after v1.ImagePolicyStatus) []string {
	was, is := refOf(before.LatestRef), refOf(after.LatestRef)
	if before.LatestRef != nil && after.LatestRef == nil {
		return []string{"the latest ref vanished"}
	}
	previous := refOf(before.ObservedPreviousRef)
	if before.LatestRef != nil && was != is {
		previous = was
	}
	if got := refOf(after.ObservedPreviousRef); got != previous {
		return []string{fmt.Sprintf("the latest ref went from %+v to %+v, and the previous one is %+v", was, is, got)}
	}
	return nil
}

func refOf(ref *v1.ImageRef) v1.ImageRef {
	if ref == nil {
		return v1.ImageRef{}
	}
	return *ref
}
