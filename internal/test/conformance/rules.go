// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/json"
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// rule returns the violation of a state; empty if there is none.
type rule func(*State) string

var rules = []rule{
	hasReady, completeConditions, abnormalOnlyWhenTrue, notReconcilingAndStalled, readyIsFinal, stalledMatchesReady, unknownIsReconciling,
	generations, observedConsistently, matchesKstatus, scanned, selected, deprecatedFields, reflected, historyMatches,
}

// Violations returns the violated rules; empty if the state is valid.
func (s *State) Violations() []string {
	var found []string
	for _, r := range rules {
		if problem := r(s); problem != "" {
			found = append(found, problem)
		}
	}
	return found
}

func hasReady(s *State) string {
	if len(s.conditions) > 0 && s.condition(meta.ReadyCondition).Type == "" {
		return "there are conditions, but Ready is not among them"
	}
	return ""
}

func completeConditions(s *State) string {
	seen := map[string]bool{}
	for _, c := range s.conditions {
		if c.Reason == "" || c.Message == "" || c.LastTransitionTime.IsZero() {
			return c.Type + " has no reason, message or time"
		}
		if seen[c.Type] {
			return c.Type + " is duplicated"
		}
		seen[c.Type] = true
	}
	return ""
}

// abnormalOnlyWhenTrue checks that Reconciling and Stalled are never False, since clients may check
// only whether they exist.
func abnormalOnlyWhenTrue(s *State) string {
	for _, c := range s.conditions {
		if (c.Type == meta.ReconcilingCondition || c.Type == meta.StalledCondition) && c.Status != metav1.ConditionTrue {
			return fmt.Sprintf("%s is %s, but should be absent", c.Type, c.Status)
		}
	}
	return ""
}

func notReconcilingAndStalled(s *State) string {
	if s.has(meta.ReconcilingCondition, metav1.ConditionTrue) && s.has(meta.StalledCondition, metav1.ConditionTrue) {
		return "it is both reconciling and stalled"
	}
	return ""
}

func readyIsFinal(s *State) string {
	if s.has(meta.ReadyCondition, metav1.ConditionTrue) &&
		(s.condition(meta.ReconcilingCondition).Type != "" || s.condition(meta.StalledCondition).Type != "") {
		return "it is ready, but still reconciling or stalled"
	}
	return ""
}

func stalledMatchesReady(s *State) string {
	stalled, ready := s.condition(meta.StalledCondition), s.condition(meta.ReadyCondition)
	if stalled.Type != "" && (ready.Status != metav1.ConditionFalse || ready.Reason != stalled.Reason || ready.Message != stalled.Message) {
		return "it is stalled, but Ready does not match"
	}
	return ""
}

func unknownIsReconciling(s *State) string {
	unknown := s.has(meta.ReadyCondition, metav1.ConditionUnknown)
	if unknown && s.condition(meta.ReconcilingCondition).Reason != meta.ProgressingReason {
		return "Ready is Unknown, but it is not reconciling"
	}
	return ""
}

func generations(s *State) string {
	current := s.object.GetGeneration()
	if s.observed > current {
		return "the observed generation does not exist"
	}
	for _, c := range s.conditions {
		if c.ObservedGeneration < 1 || c.ObservedGeneration > current {
			return fmt.Sprintf("%s is about generation %d", c.Type, c.ObservedGeneration)
		}
	}
	return ""
}

// observedConsistently checks that the conditions are about the observed generation or, if a
// reconcile is announced, about a later one.
func observedConsistently(s *State) string {
	announced := s.has(meta.ReadyCondition, metav1.ConditionUnknown)
	if s.observed > 0 && len(s.conditions) == 0 {
		return "a generation was observed, but there are no conditions"
	}
	for _, c := range s.conditions {
		if announced && c.ObservedGeneration <= s.observed {
			return fmt.Sprintf("%s announces a reconcile of generation %d, which is observed already", c.Type, c.ObservedGeneration)
		}
		if !announced && c.ObservedGeneration != s.observed {
			return fmt.Sprintf("%s is about generation %d, the status about another one", c.Type, c.ObservedGeneration)
		}
	}
	return ""
}

// matchesKstatus checks that kstatus computes the status that the controller reports.
func matchesKstatus(s *State) string {
	want := status.InProgressStatus
	switch {
	case !s.object.GetDeletionTimestamp().IsZero():
		want = status.TerminatingStatus
	case s.ReadyNow():
		want = status.CurrentStatus
	case s.isObserved() && s.has(meta.StalledCondition, metav1.ConditionTrue):
		want = status.FailedStatus
	}
	if got, err := s.Kstatus(); err != nil || got != want {
		return fmt.Sprintf("kstatus returns %s (error: %v), want %s", got, err, want)
	}
	return ""
}

func scanned(s *State) string {
	if s.repository == nil || !s.has(meta.ReadyCondition, metav1.ConditionTrue) {
		return ""
	}
	last := s.repository.Status.LastScanResult
	if last == nil || last.Revision == "" || last.ScanTime.IsZero() || s.repository.Status.CanonicalImageName == "" {
		return "it is ready, but was not scanned"
	}
	return ""
}

// selected checks that name and image of a ref are equal, since clients read either.
func selected(s *State) string {
	if s.policy == nil {
		return ""
	}
	latest, previous := s.policy.Status.LatestRef, s.policy.Status.ObservedPreviousRef
	if latest == nil && s.has(meta.ReadyCondition, metav1.ConditionTrue) {
		return "it is ready, but selects nothing"
	}
	for _, ref := range []*v1.ImageRef{latest, previous} {
		if ref != nil && (ref.Name == "" || ref.Tag == "" || ref.Image != ref.Name) {
			return "a ref lacks a field, or its name and its image differ"
		}
	}
	return ""
}

// deprecatedFields checks that the deprecated fields, which older clients read, match the refs.
func deprecatedFields(s *State) string {
	if s.policy == nil {
		return ""
	}
	status := s.policy.Status
	if status.LatestRef != nil && status.LatestImage != image.FormatRef(status.LatestRef) ||
		status.ObservedPreviousRef != nil && status.ObservedPreviousImage != image.FormatRef(status.ObservedPreviousRef) {
		return "a deprecated field differs from its ref"
	}
	return ""
}

// historyMatches checks that the history, if there is one, begins with the latest image, and is
// bounded.
func historyMatches(s *State) string {
	if s.policy == nil || len(s.policy.Status.History) == 0 {
		return ""
	}
	history := s.policy.Status.History
	content, err := json.Marshal(history)
	switch {
	case !history[0].IsOf(s.policy.Status.LatestRef):
		return "the history does not begin with the latest ref"
	case err != nil || len(content) > 4096 || len(history) > v1.MaxHistory:
		return "the history is too long"
	}
	return ""
}

func reflected(s *State) string {
	if s.policy == nil || !s.ReadyNow() || s.policy.Status.LatestRef == nil {
		return ""
	}
	wants := s.policy.GetDigestReflectionPolicy() != v1.ReflectNever
	if has := s.policy.Status.LatestRef.Digest != ""; has != wants {
		return fmt.Sprintf("a digest is required: %t, exists: %t", wants, has)
	}
	return ""
}
