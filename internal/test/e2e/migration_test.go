// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

const oldDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// oldPolicy creates a policy with a status in the shape of older versions,
// written through v1beta2 while the controller is down.
func (s *scene) oldPolicy(name string, status map[string]any) *v1.ImagePolicy {
	s.t.Helper()
	policy := s.policy(name, func(p *v1.ImagePolicy) { p.Spec.ImageRepositoryRef.Name = "app" })
	s.writeOldStatus(policy, status)
	return policy
}

func (s *scene) writeOldStatus(policy *v1.ImagePolicy, status map[string]any) {
	s.t.Helper()
	old := &unstructured.Unstructured{}
	old.SetAPIVersion("image.toolkit.fluxcd.io/v1beta2")
	old.SetKind("ImagePolicy")
	old.SetNamespace(policy.Namespace)
	old.SetName(policy.Name)
	data, err := json.Marshal(map[string]any{"status": status})
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(suite.api.Status().Patch(s.ctx, old, client.RawPatch(types.MergePatchType, data))).To(Succeed())
}

func TestMigration_ConvertsOldStatus(t *testing.T) {
	s := newScene(t)
	s.pushTags("app", "1.0.0", "2.0.0")
	app := s.image("app")
	s.Expect(s.controller.Stop()).To(Succeed())
	s.repository("app")

	policy := s.oldPolicy("old", map[string]any{"latestImage": app + ":1.0.0@" + oldDigest, "observedPreviousImage": app + ":0.9.0"})
	latest, previous := image.NewRef(app, "2.0.0", ""), image.NewRef(app, "1.0.0", oldDigest)

	s.Expect(s.controller.Start(s.ctx)).To(Succeed())
	expectRefs(s, ready(s, policy), latest, previous)
	s.Expect(s.controller.Stop()).To(Succeed())
	s.Expect(s.controller.Start(s.ctx)).To(Succeed())
	request(s, policy)
	expectRefs(s, ready(s, policy), latest, previous)
}

// TestMigration_ConvertsStatusWithoutRepository shows that old fields are migrated before
// anything else can fail, and that a value which can't be parsed is kept.
func TestMigration_ConvertsStatusWithoutRepository(t *testing.T) {
	s := newScene(t)
	s.Expect(s.controller.Stop()).To(Succeed())
	good := s.oldPolicy("good", map[string]any{"latestImage": "ghcr.io/a/b:2", "observedPreviousImage": "ghcr.io/a/b:1"})
	bad := s.oldPolicy("bad", map[string]any{"latestImage": "ghcr.io/a/b"})
	s.Expect(s.controller.Start(s.ctx)).To(Succeed())

	notReady(s, good, "DependencyNotReady", "not found")
	expectRefs(s, good, image.NewRef("ghcr.io/a/b", "2", ""), image.NewRef("ghcr.io/a/b", "1", ""))
	notReady(s, bad, "DependencyNotReady", "not found")
	s.Expect(bad.Status.LatestRef).To(BeNil())
	s.Expect(bad.Status.LatestImage).To(Equal("ghcr.io/a/b"))
}

// TestMigration_KeepsPolicyReady shows that a policy which was ready when
// this controller took over stays so, although its store is still empty.
func TestMigration_KeepsPolicyReady(t *testing.T) {
	s := newScene(t)
	s.pushTags("app", "1.0.0")
	s.Expect(s.controller.Stop()).To(Succeed())
	// no scan can succeed, so that only what was there before counts
	s.repository("app", func(r *v1.ImageRepository) { r.Spec.Image = s.proxy.host + "/nobody/nothing" })
	policy := s.oldPolicy("old", map[string]any{
		"observedGeneration": 1,
		"latestRef":          map[string]any{"name": s.image("app"), "tag": "1.0.0"},
		"conditions": []any{map[string]any{
			"type": "Ready", "status": "True", "reason": "Succeeded", "message": "as another controller says it",
			"observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
		}},
	})
	s.Expect(s.controller.Start(s.ctx)).To(Succeed())
	s.Eventually(func() []metav1.Condition { return refresh(s, policy).Status.Conditions }).Should(ContainElement(
		And(HaveField("Status", metav1.ConditionTrue), HaveField("Message", ContainSubstring("stays 1.0.0: no tags of ImageRepository")))))
	s.Consistently(func() []metav1.Condition { return refresh(s, policy).Status.Conditions }, "2s").Should(ContainElement(
		HaveField("Status", metav1.ConditionTrue)))
	expectRefs(s, policy, image.NewRef(s.image("app"), "1.0.0", ""), nil)
	s.Expect(s.events(policy)).To(BeEmpty())
}
