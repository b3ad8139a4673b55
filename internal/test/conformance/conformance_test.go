// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/test/conformance"
)

var noon = metav1.NewTime(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC))

func condition(kind, value, reason string, generation int64) metav1.Condition {
	return metav1.Condition{Type: kind, Status: metav1.ConditionStatus(value), Reason: reason, Message: "message",
		ObservedGeneration: generation, LastTransitionTime: noon}
}

// readyPolicy returns a valid policy in its second generation that is ready.
func readyPolicy() *v1.ImagePolicy {
	policy := &v1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app", Generation: 2}}
	policy.Status.ObservedGeneration = 2
	policy.Status.Conditions = []metav1.Condition{condition("Ready", "True", "Succeeded", 2)}
	policy.Status.LatestRef, policy.Status.LatestImage = image.NewRef("app", "2", ""), "app:2"
	policy.Status.ObservedPreviousRef, policy.Status.ObservedPreviousImage = image.NewRef("app", "1", ""), "app:1"
	return policy
}

func read(g *WithT, policy *v1.ImagePolicy) *conformance.State {
	state, err := conformance.ReadTyped(policy, v1.ImagePolicyKind)
	g.Expect(err).NotTo(HaveOccurred())
	return state
}

// TestViolations_ReportEachBrokenRule has a violation of every rule.
func TestViolations_ReportEachBrokenRule(t *testing.T) {
	NewWithT(t).Expect(read(NewWithT(t), readyPolicy()).Violations()).To(BeEmpty())
	for problem, violate := range map[string]func(*v1.ImagePolicy){
		"Ready is not among them": func(p *v1.ImagePolicy) { p.Status.Conditions[0].Type = "Other" },
		"has no reason":           func(p *v1.ImagePolicy) { p.Status.Conditions[0].Message = "" },
		"is duplicated": func(p *v1.ImagePolicy) {
			p.Status.Conditions = append(p.Status.Conditions, condition("Ready", "True", "Succeeded", 2))
		},
		"should be absent": func(p *v1.ImagePolicy) {
			p.Status.Conditions = append(p.Status.Conditions, condition("Stalled", "False", "No", 2))
		},
		"both reconciling and stalled": func(p *v1.ImagePolicy) {
			p.Status.Conditions = []metav1.Condition{condition("Ready", "False", "Bad", 2), condition("Stalled", "True", "Bad", 2),
				condition("Reconciling", "True", "Progressing", 2)}
		},
		"but still reconciling": func(p *v1.ImagePolicy) {
			p.Status.Conditions = append(p.Status.Conditions, condition("Reconciling", "True", "Progressing", 2))
		},
		"Ready does not match": func(p *v1.ImagePolicy) {
			p.Status.Conditions = []metav1.Condition{condition("Ready", "False", "Bad", 2), condition("Stalled", "True", "Worse", 2)}
		},
		"but it is not reconciling": func(p *v1.ImagePolicy) { p.Status.Conditions[0].Status = metav1.ConditionUnknown },
		"does not exist":            func(p *v1.ImagePolicy) { p.Status.ObservedGeneration = 3 },
		"is about generation 0":     func(p *v1.ImagePolicy) { p.Status.Conditions[0].ObservedGeneration = 0 },
		"the status about another":  func(p *v1.ImagePolicy) { p.Status.ObservedGeneration = 1 },
		"there are no conditions":   func(p *v1.ImagePolicy) { p.Status.Conditions = nil },
		"announces a reconcile of generation 2": func(p *v1.ImagePolicy) {
			p.Status.Conditions = []metav1.Condition{condition("Ready", "Unknown", "Progressing", 2), condition("Reconciling", "True", "Progressing", 2)}
		},
		"kstatus returns Current": func(p *v1.ImagePolicy) { p.Status = v1.ImagePolicyStatus{} }, // without the default of the schema
		"but selects nothing":     func(p *v1.ImagePolicy) { p.Status.LatestRef = nil },
		"lacks a field":           func(p *v1.ImagePolicy) { p.Status.LatestRef.Image = "" },
		"differs from its ref":    func(p *v1.ImagePolicy) { p.Status.LatestImage = "app:1" },
		"does not begin with the latest ref": func(p *v1.ImagePolicy) {
			p.Status.History = []v1.HistoryEntry{{Name: "app", Tag: "1"}}
		},
		"the history is too long": func(p *v1.ImagePolicy) {
			p.Status.History = slices.Repeat([]v1.HistoryEntry{{Name: "app", Tag: "2"}}, v1.MaxHistory+1)
		},
		"a digest is required: true":  func(p *v1.ImagePolicy) { p.Spec.DigestReflectionPolicy = v1.ReflectIfNotPresent },
		"a digest is required: false": func(p *v1.ImagePolicy) { p.Status.LatestRef.Digest = "sha256:0" },
	} {
		t.Run(problem, func(t *testing.T) {
			g := NewWithT(t)
			policy := readyPolicy()
			violate(policy)
			g.Expect(read(g, policy).Violations()).To(ContainElement(ContainSubstring(problem)))
		})
	}
}

func TestViolations_ReportReadyRepositoryWithoutScan(t *testing.T) {
	g := NewWithT(t)
	repo := &v1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Generation: 1}}
	repo.Status.ObservedGeneration = 1
	repo.Status.Conditions = []metav1.Condition{condition("Ready", "True", "Succeeded", 1)}
	g.Expect(conformance.ReadTyped(repo, v1.ImageRepositoryKind)).To(HaveField("Violations()", ConsistOf(ContainSubstring("was not scanned"))))
}

func TestChange_ReportsInvalidTransitions(t *testing.T) {
	NewWithT(t).Expect(read(NewWithT(t), readyPolicy()).Change(read(NewWithT(t), readyPolicy()))).To(BeEmpty())
	for problem, violate := range map[string]func(*v1.ImagePolicy){
		"decreased from 2": func(p *v1.ImagePolicy) { p.Status.ObservedGeneration = 1 },
		"from True to True, but": func(p *v1.ImagePolicy) {
			p.Status.Conditions[0].LastTransitionTime = metav1.NewTime(noon.Add(time.Hour))
		},
		"the latest ref was removed":   func(p *v1.ImagePolicy) { p.Status.LatestRef = nil },
		"the latest ref changed from ": func(p *v1.ImagePolicy) { p.Status.LatestRef = image.NewRef("app", "3", "") },
		"the previous one is {Name:": func(p *v1.ImagePolicy) {
			p.Status.ObservedPreviousRef = image.NewRef("app", "0", "") // without a change of the latest ref
		},
	} {
		t.Run(problem, func(t *testing.T) {
			g := NewWithT(t)
			policy := readyPolicy()
			violate(policy)
			g.Expect(read(g, policy).Change(read(g, readyPolicy()))).To(ContainElement(ContainSubstring(problem)))
		})
	}
}
