// SPDX-License-Identifier: Apache-2.0

// Package conformance checks the invariants of the status of objects on which clients such as
// kstatus and the Flux tools rely: every state must be current, in progress or failed, and its
// fields must be consistent. It is for tests.
package conformance

import (
	"fmt"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// State is one state of an object of either kind, in any version.
type State struct {
	object     *unstructured.Unstructured
	observed   int64
	conditions []metav1.Condition
	repository *v1.ImageRepository // nil for a policy
	policy     *v1.ImagePolicy     // nil for a repository
}

// Read returns the state of an object of the API server.
func Read(object *unstructured.Unstructured) (*State, error) {
	s := &State{object: object}
	switch object.GetKind() {
	case v1.ImageRepositoryKind:
		s.repository = &v1.ImageRepository{}
		if err := decode(object, s.repository); err != nil {
			return nil, err
		}
		s.observed, s.conditions = s.repository.Status.ObservedGeneration, s.repository.Status.Conditions
	case v1.ImagePolicyKind:
		s.policy = &v1.ImagePolicy{}
		if err := decode(object, s.policy); err != nil {
			return nil, err
		}
		s.observed, s.conditions = s.policy.Status.ObservedGeneration, s.policy.Status.Conditions
	default:
		return nil, fmt.Errorf("%q is neither an ImageRepository nor an ImagePolicy", object.GetKind())
	}
	return s, nil
}

// decode converts an object. It returns an error for fields that the types lack.
func decode(object *unstructured.Unstructured, into any) error {
	return runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, into, true)
}

// ReadTyped returns the state of a typed object of a kind.
func ReadTyped(object runtime.Object, kind string) (*State, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	raw := &unstructured.Unstructured{Object: content}
	raw.SetAPIVersion(v1.GroupVersion.String())
	raw.SetKind(kind)
	return Read(raw)
}

// Kstatus returns the status that kstatus computes, by which clients decide whether to wait.
func (s *State) Kstatus() (status.Status, error) {
	result, err := status.Compute(s.object)
	if err != nil {
		return "", err
	}
	return result.Status, nil
}

// condition returns the condition of a type, or an empty one.
func (s *State) condition(kind string) metav1.Condition {
	if condition := apimeta.FindStatusCondition(s.conditions, kind); condition != nil {
		return *condition
	}
	return metav1.Condition{}
}

func (s *State) has(kind string, value metav1.ConditionStatus) bool {
	return s.condition(kind).Status == value
}

// isObserved reports whether the current generation was reconciled.
func (s *State) isObserved() bool { return s.observed == s.object.GetGeneration() }

// ReadyNow reports whether the object is ready for its current generation.
func (s *State) ReadyNow() bool {
	return s.isObserved() && s.has(meta.ReadyCondition, metav1.ConditionTrue)
}

// String describes the state for a violation.
func (s *State) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s/%s generation %d, resource version %s, observed generation %d", s.object.GetKind(),
		s.object.GetNamespace(), s.object.GetName(), s.object.GetGeneration(), s.object.GetResourceVersion(), s.observed)
	for _, c := range s.conditions {
		fmt.Fprintf(&b, "\n    %s=%s %s (generation %d) %q", c.Type, c.Status, c.Reason, c.ObservedGeneration, c.Message)
	}
	if s.policy != nil {
		fmt.Fprintf(&b, "\n    latestRef %+v, observedPreviousRef %+v", s.policy.Status.LatestRef, s.policy.Status.ObservedPreviousRef)
	}
	return b.String()
}
