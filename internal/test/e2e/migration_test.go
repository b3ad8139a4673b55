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

// oldPolicy creates a policy with a status of an older controller, written as v1beta2 while the
// controller is stopped.
func (f *fixture) oldPolicy(name string, status map[string]any) *v1.ImagePolicy {
	f.t.Helper()
	policy := f.policy(name, func(p *v1.ImagePolicy) { p.Spec.ImageRepositoryRef.Name = "app" })
	f.writeOldStatus(policy, status)
	return policy
}

func (f *fixture) writeOldStatus(policy *v1.ImagePolicy, status map[string]any) {
	f.t.Helper()
	old := &unstructured.Unstructured{}
	old.SetAPIVersion("image.toolkit.fluxcd.io/v1beta2")
	old.SetKind("ImagePolicy")
	old.SetNamespace(policy.Namespace)
	old.SetName(policy.Name)
	data, err := json.Marshal(map[string]any{"status": status})
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(suite.api.Status().Patch(f.ctx, old, client.RawPatch(types.MergePatchType, data))).To(Succeed())
}

func TestMigration_ConvertsOldStatus(t *testing.T) {
	f := newFixture(t)
	f.pushTags("app", "1.0.0", "2.0.0")
	app := f.image("app")
	f.Expect(f.controller.Stop()).To(Succeed())
	f.repository("app")

	policy := f.oldPolicy("old", map[string]any{"latestImage": app + ":1.0.0@" + oldDigest, "observedPreviousImage": app + ":0.9.0"})
	latest, previous := image.NewRef(app, "2.0.0", ""), image.NewRef(app, "1.0.0", oldDigest)

	f.Expect(f.controller.Start(f.ctx)).To(Succeed())
	expectRefs(f, awaitReady(f, policy), latest, previous)
	f.Expect(f.controller.Stop()).To(Succeed())
	f.Expect(f.controller.Start(f.ctx)).To(Succeed())
	requestReconcile(f, policy)
	expectRefs(f, awaitReady(f, policy), latest, previous)
}

// TestMigration_ConvertsStatusWithoutRepository checks that old fields are migrated before the
// policy is reconciled, and that invalid values are kept.
func TestMigration_ConvertsStatusWithoutRepository(t *testing.T) {
	f := newFixture(t)
	f.Expect(f.controller.Stop()).To(Succeed())
	good := f.oldPolicy("good", map[string]any{"latestImage": "ghcr.io/a/b:2", "observedPreviousImage": "ghcr.io/a/b:1"})
	bad := f.oldPolicy("bad", map[string]any{"latestImage": "ghcr.io/a/b"})
	f.Expect(f.controller.Start(f.ctx)).To(Succeed())

	awaitNotReady(f, good, "DependencyNotReady", "not found")
	expectRefs(f, good, image.NewRef("ghcr.io/a/b", "2", ""), image.NewRef("ghcr.io/a/b", "1", ""))
	awaitNotReady(f, bad, "DependencyNotReady", "not found")
	f.Expect(bad.Status.LatestRef).To(BeNil())
	f.Expect(bad.Status.LatestImage).To(Equal("ghcr.io/a/b"))
}

// TestMigration_KeepsPolicyReady checks that a policy that is ready when this controller replaces
// another one stays ready, although the store is empty.
func TestMigration_KeepsPolicyReady(t *testing.T) {
	f := newFixture(t)
	f.pushTags("app", "1.0.0")
	f.Expect(f.controller.Stop()).To(Succeed())
	// Scans fail, so that the status depends on the previous one only.
	f.repository("app", func(r *v1.ImageRepository) { r.Spec.Image = f.proxy.host + "/missing/repository" })
	policy := f.oldPolicy("old", map[string]any{
		"observedGeneration": 1,
		"latestRef":          map[string]any{"name": f.image("app"), "tag": "1.0.0"},
		"conditions": []any{map[string]any{
			"type": "Ready", "status": "True", "reason": "Succeeded", "message": "message of another controller",
			"observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
		}},
	})
	f.Expect(f.controller.Start(f.ctx)).To(Succeed())
	f.Eventually(func() []metav1.Condition { return refresh(f, policy).Status.Conditions }).Should(ContainElement(
		And(HaveField("Status", metav1.ConditionTrue), HaveField("Message", ContainSubstring("stays 1.0.0: no tags of ImageRepository")))))
	f.Consistently(func() []metav1.Condition { return refresh(f, policy).Status.Conditions }, "2s").Should(ContainElement(
		HaveField("Status", metav1.ConditionTrue)))
	expectRefs(f, policy, image.NewRef(f.image("app"), "1.0.0", ""), nil)
	f.Expect(f.events(policy)).To(BeEmpty())
}
