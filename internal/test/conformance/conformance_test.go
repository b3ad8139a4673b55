// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
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
	return metav1.Condition{Type: kind, Status: metav1.ConditionStatus(value), Reason: reason, Message: "said",
		ObservedGeneration: generation, LastTransitionTime: noon}
}

// good is a policy in its second generation that is ready.
func good() *v1.ImagePolicy {
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

// TestViolations_ReportEachBrokenRule shows for every rule a state that it finds.
func TestViolations_ReportEachBrokenRule(t *testing.T) {
	NewWithT(t).Expect(read(NewWithT(t), good()).Violations()).To(BeEmpty())
	for problem, spoil := range map[string]func(*v1.ImagePolicy){
		"Ready is not among them": func(p *v1.ImagePolicy) { p.Status.Conditions[0].Type = "Other" },
		"has no reason":           func(p *v1.ImagePolicy) { p.Status.Conditions[0].Message = "" },
		"there twice": func(p *v1.ImagePolicy) {
			p.Status.Conditions = append(p.Status.Conditions, condition("Ready", "True", "Succeeded", 2))
		},
		"should be absent": func(p *v1.ImagePolicy) {
			p.Status.Conditions = append(p.Status.Conditions, condition("Stalled", "False", "No", 2))
		},
		"both at work and stalled": func(p *v1.ImagePolicy) {
			p.Status.Conditions = []metav1.Condition{condition("Ready", "False", "Bad", 2), condition("Stalled", "True", "Bad", 2),
				condition("Reconciling", "True", "Progressing", 2)}
		},
		"still at work": func(p *v1.ImagePolicy) {
			p.Status.Conditions = append(p.Status.Conditions, condition("Reconciling", "True", "Progressing", 2))
		},
		"Ready does not say so": func(p *v1.ImagePolicy) {
			p.Status.Conditions = []metav1.Condition{condition("Ready", "False", "Bad", 2), condition("Stalled", "True", "Worse", 2)}
		},
		"nobody is at work":            func(p *v1.ImagePolicy) { p.Status.Conditions[0].Status = metav1.ConditionUnknown },
		"that there never was":         func(p *v1.ImagePolicy) { p.Status.ObservedGeneration = 3 },
		"is about generation 0":        func(p *v1.ImagePolicy) { p.Status.Conditions[0].ObservedGeneration = 0 },
		"the status about another one": func(p *v1.ImagePolicy) { p.Status.ObservedGeneration = 1 },
		"nothing is said about it":     func(p *v1.ImagePolicy) { p.Status.Conditions = nil },
		"announces work on generation 2": func(p *v1.ImagePolicy) {
			p.Status.Conditions = []metav1.Condition{condition("Ready", "Unknown", "Progressing", 2), condition("Reconciling", "True", "Progressing", 2)}
		},
		"kstatus says Current":       func(p *v1.ImagePolicy) { p.Status = v1.ImagePolicyStatus{} }, // without the default of the schema
		"selects nothing":            func(p *v1.ImagePolicy) { p.Status.LatestRef = nil },
		"lacks a part":               func(p *v1.ImagePolicy) { p.Status.LatestRef.Image = "" },
		"another image than its ref": func(p *v1.ImagePolicy) { p.Status.LatestImage = "app:1" },
		"a digest is wanted: true":   func(p *v1.ImagePolicy) { p.Spec.DigestReflectionPolicy = v1.ReflectIfNotPresent },
		"a digest is wanted: false":  func(p *v1.ImagePolicy) { p.Status.LatestRef.Digest = "sha256:0" },
	} {
		t.Run(problem, func(t *testing.T) {
			g := NewWithT(t)
			policy := good()
			spoil(policy)
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
	NewWithT(t).Expect(read(NewWithT(t), good()).Change(read(NewWithT(t), good()))).To(BeEmpty())
	for problem, spoil := range map[string]func(*v1.ImagePolicy){
		"went back from 2": func(p *v1.ImagePolicy) { p.Status.ObservedGeneration = 1 },
		"from True to True, and": func(p *v1.ImagePolicy) {
			p.Status.Conditions[0].LastTransitionTime = metav1.NewTime(noon.Add(time.Hour))
		},
		"the latest ref vanished":   func(p *v1.ImagePolicy) { p.Status.LatestRef = nil },
		"the latest ref went from ": func(p *v1.ImagePolicy) { p.Status.LatestRef = image.NewRef("app", "3", "") },
		"the previous one is {Name:": func(p *v1.ImagePolicy) {
			p.Status.ObservedPreviousRef = image.NewRef("app", "0", "") // although nothing moved
		},
	} {
		t.Run(problem, func(t *testing.T) {
			g := NewWithT(t)
			policy := good()
			spoil(policy)
			g.Expect(read(g, policy).Change(read(g, good()))).To(ContainElement(ContainSubstring(problem)))
		})
	}
}
