// SPDX-License-Identifier: Apache-2.0

// Package conformance says what every client may rely on in the status of every
// object at every moment, as kstatus and the tools of Flux read it: whether an
// object is done, at work, or stuck, and that its parts never contradict each
// other. It is for tests.
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
	repository *v1.ImageRepository // or else
	policy     *v1.ImagePolicy
}

// Read reads the state of an object as the API server sent it.
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

// decode is strict: what the schema lets pass, the types must know.
func decode(object *unstructured.Unstructured, into any) error {
	return runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, into, true)
}

// ReadTyped reads the state of an object of this module's types.
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

// Kstatus is what kstatus makes of the object, by which clients decide whether
// to go on waiting.
func (s *State) Kstatus() (status.Status, error) {
	result, err := status.Compute(s.object)
	if err != nil {
		return "", err
	}
	return result.Status, nil
}

// condition returns the condition of a type, an empty one where there is none.
func (s *State) condition(kind string) metav1.Condition {
	if condition := apimeta.FindStatusCondition(s.conditions, kind); condition != nil {
		return *condition
	}
	return metav1.Condition{}
}

func (s *State) has(kind string, value metav1.ConditionStatus) bool {
	return s.condition(kind).Status == value
}

// settledNow reports whether the spec as it is was dealt with.
func (s *State) settledNow() bool { return s.observed == s.object.GetGeneration() }

// ReadyNow reports whether the object is ready, and for its spec as it is.
func (s *State) ReadyNow() bool {
	return s.settledNow() && s.has(meta.ReadyCondition, metav1.ConditionTrue)
}

// String tells of the state, for those who look into a violation.
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
