// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// rule returns what is wrong with a state, nothing where it holds.
type rule func(*State) string

var rules = []rule{
	withReady, withWords, abnormalOnlyWhenTrue, oneWayOnly, readyIsTheEnd, stalledIsTold, unknownIsAtWork,
	generations, settledTogether, asKstatus, scanned, selected, inStep, reflected,
}

// Violations returns what clients could be misled by, nothing where the state is
// good.
func (s *State) Violations() []string {
	var found []string
	for _, r := range rules {
		if problem := r(s); problem != "" {
			found = append(found, problem)
		}
	}
	return found
}

func withReady(s *State) string {
	if len(s.conditions) > 0 && s.condition(meta.ReadyCondition).Type == "" {
		return "there are conditions, but Ready is not among them"
	}
	return ""
}

func withWords(s *State) string {
	seen := map[string]bool{}
	for _, c := range s.conditions {
		if c.Reason == "" || c.Message == "" || c.LastTransitionTime.IsZero() {
			return c.Type + " has no reason, message or time"
		}
		if seen[c.Type] {
			return c.Type + " is there twice"
		}
		seen[c.Type] = true
	}
	return ""
}

// abnormalOnlyWhenTrue: those who look for a condition at all are not to be
// alarmed by one that denies itself.
func abnormalOnlyWhenTrue(s *State) string {
	for _, c := range s.conditions {
		if (c.Type == meta.ReconcilingCondition || c.Type == meta.StalledCondition) && c.Status != metav1.ConditionTrue {
			return fmt.Sprintf("%s is %s, and should be absent", c.Type, c.Status)
		}
	}
	return ""
}

func oneWayOnly(s *State) string {
	if s.has(meta.ReconcilingCondition, metav1.ConditionTrue) && s.has(meta.StalledCondition, metav1.ConditionTrue) {
		return "it is both at work and stalled"
	}
	return ""
}

func readyIsTheEnd(s *State) string {
	if s.has(meta.ReadyCondition, metav1.ConditionTrue) &&
		(s.condition(meta.ReconcilingCondition).Type != "" || s.condition(meta.StalledCondition).Type != "") {
		return "it is ready, and still at work or stalled"
	}
	return ""
}

func stalledIsTold(s *State) string {
	stalled, ready := s.condition(meta.StalledCondition), s.condition(meta.ReadyCondition)
	if stalled.Type != "" && (ready.Status != metav1.ConditionFalse || ready.Reason != stalled.Reason || ready.Message != stalled.Message) {
		return "it is stalled, and Ready does not say so"
	}
	return ""
}

func unknownIsAtWork(s *State) string {
	unknown := s.has(meta.ReadyCondition, metav1.ConditionUnknown)
	if unknown && s.condition(meta.ReconcilingCondition).Reason != meta.ProgressingReason {
		return "whether it is ready is not known, and nobody is at work"
	}
	return ""
}

func generations(s *State) string {
	current := s.object.GetGeneration()
	if s.observed > current {
		return "a generation was observed that there never was"
	}
	for _, c := range s.conditions {
		if c.ObservedGeneration < 1 || c.ObservedGeneration > current {
			return fmt.Sprintf("%s is about generation %d", c.Type, c.ObservedGeneration)
		}
	}
	return ""
}

// settledTogether: what is settled is so for one generation in every place. Work
// that is announced is about a generation that is not settled yet.
func settledTogether(s *State) string {
	announced := s.has(meta.ReadyCondition, metav1.ConditionUnknown)
	if s.observed > 0 && len(s.conditions) == 0 {
		return "a generation was observed, and nothing is said about it"
	}
	for _, c := range s.conditions {
		if announced && c.ObservedGeneration <= s.observed {
			return fmt.Sprintf("%s announces work on generation %d, which is settled", c.Type, c.ObservedGeneration)
		}
		if !announced && c.ObservedGeneration != s.observed {
			return fmt.Sprintf("%s is about generation %d, the status about another one", c.Type, c.ObservedGeneration)
		}
	}
	return ""
}

// asKstatus: kstatus must come to what the controller means.
func asKstatus(s *State) string {
	want := status.InProgressStatus
	switch {
	case !s.object.GetDeletionTimestamp().IsZero():
		want = status.TerminatingStatus
	case s.ReadyNow():
		want = status.CurrentStatus
	case s.settledNow() && s.has(meta.StalledCondition, metav1.ConditionTrue):
		want = status.FailedStatus
	}
	if got, err := s.Kstatus(); err != nil || got != want {
		return fmt.Sprintf("kstatus says %s (error: %v), and should say %s", got, err, want)
	}
	return ""
}

func scanned(s *State) string {
	if s.repository == nil || !s.has(meta.ReadyCondition, metav1.ConditionTrue) {
		return ""
	}
	last := s.repository.Status.LastScanResult
	if last == nil || last.Revision == "" || last.ScanTime.IsZero() || s.repository.Status.CanonicalImageName == "" {
		return "it is ready, and was not scanned"
	}
	return ""
}

// selected: name and image of a ref are read by different clients.
func selected(s *State) string {
	if s.policy == nil {
		return ""
	}
	latest, previous := s.policy.Status.LatestRef, s.policy.Status.ObservedPreviousRef
	if latest == nil && s.has(meta.ReadyCondition, metav1.ConditionTrue) {
		return "it is ready, and selects nothing"
	}
	for _, ref := range []*v1.ImageRef{latest, previous} {
		if ref != nil && (ref.Name == "" || ref.Tag == "" || ref.Image != ref.Name) {
			return "a ref lacks a part, or its name and its image differ"
		}
	}
	return ""
}

// inStep: the deprecated fields are read by older clients, who are to come to the
// same.
func inStep(s *State) string {
	if s.policy == nil {
		return ""
	}
	status := s.policy.Status
	if status.LatestRef != nil && status.LatestImage != image.FormatRef(status.LatestRef) ||
		status.ObservedPreviousRef != nil && status.ObservedPreviousImage != image.FormatRef(status.ObservedPreviousRef) {
		return "a deprecated field says another image than its ref"
	}
	return ""
}

func reflected(s *State) string {
	if s.policy == nil || !s.ReadyNow() || s.policy.Status.LatestRef == nil {
		return ""
	}
	wants := s.policy.GetDigestReflectionPolicy() != v1.ReflectNever
	if has := s.policy.Status.LatestRef.Digest != ""; has != wants {
		return fmt.Sprintf("a digest is wanted: %t, and there: %t", wants, has)
	}
	return ""
}
