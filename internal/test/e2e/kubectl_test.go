// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// manifest is an object as it is in a Git repository.
func (s *scene) manifest(version, kind, name, spec string) *unstructured.Unstructured {
	s.t.Helper()
	obj := &unstructured.Unstructured{Object: map[string]any{}}
	s.Expect(yaml.Unmarshal([]byte("spec: {"+spec+"}"), &obj.Object)).To(Succeed())
	obj.SetAPIVersion(v1.GroupVersion.Group + "/" + version)
	obj.SetKind(kind)
	obj.SetNamespace(s.namespace)
	obj.SetName(name)
	obj.SetLabels(map[string]string{shardLabel: s.namespace})
	return obj
}

// apply is what kustomize-controller does at every interval.
func (s *scene) apply(obj *unstructured.Unstructured, opts ...client.ApplyOption) *unstructured.Unstructured {
	s.t.Helper()
	applied := obj.DeepCopy()
	opts = append(opts, client.FieldOwner("kustomize-controller"), client.ForceOwnership)
	s.Expect(suite.api.Apply(s.ctx, client.ApplyConfigurationFromUnstructured(applied), opts...)).To(Succeed())
	return applied
}

// live returns the object as the API server has it.
func (s *scene) live(obj *unstructured.Unstructured) *unstructured.Unstructured {
	s.t.Helper()
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(obj.GroupVersionKind())
	s.Expect(suite.api.Get(s.ctx, client.ObjectKeyFromObject(obj), live)).To(Succeed())
	return live
}

// healthy waits as the health checks of kustomize-controller do.
func (s *scene) healthy(obj *unstructured.Unstructured) {
	s.t.Helper()
	s.Eventually(func(g Gomega) {
		result, err := status.Compute(s.live(obj))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(result.Status).To(Equal(status.CurrentStatus), result.Message)
	}).Should(Succeed())
}

// TestServerSideApply_CausesNoDrift applies the same manifests over and over, in both
// versions, while the controller writes status: neither loses what the other wrote,
// and there is no drift.
func TestServerSideApply_CausesNoDrift(t *testing.T) {
	for _, version := range []string{"v1", "v1beta2"} {
		t.Run(version, func(t *testing.T) {
			s := newScene(t)
			s.pushTags("app", "1.0.0")
			repo := s.manifest(version, "ImageRepository", "app", "image: "+s.image("app")+", interval: 1s, timeout: 20s, insecure: true")
			policy := s.manifest(version, "ImagePolicy", "app",
				"imageRepositoryRef: {name: app}, policy: {semver: {range: 1.x}}, digestReflectionPolicy: Always, interval: 1s")
			for _, obj := range []*unstructured.Unstructured{repo, policy} {
				s.apply(obj)
			}
			s.healthy(repo)
			s.healthy(policy)
			deadline, rounds := time.Now().Add(4*time.Second), 0
			for ; time.Now().Before(deadline) || rounds < 20; rounds++ {
				if rounds%10 == 0 {
					s.pushTags("app", "1."+strings.Repeat("1", 1+rounds/10)+".0")
				}
				for _, obj := range []*unstructured.Unstructured{repo, policy} {
					s.expectNoDrift(obj, s.apply(obj, client.DryRunAll))
					s.expectNoDrift(obj, s.apply(obj))
				}
			}
			s.healthy(policy)
			s.Expect(s.live(policy).GetGeneration()).To(Equal(int64(1)))
		})
	}
}

// expectNoDrift expects that an apply left the spec as it is in the repository,
// with defaults, and that the status was kept.
func (s *scene) expectNoDrift(manifest, applied *unstructured.Unstructured) {
	s.t.Helper()
	s.Expect(applied.GetGeneration()).To(Equal(int64(1)))
	s.Expect(applied.GetLabels()).To(Equal(manifest.GetLabels()))
	s.Expect(applied.GetAnnotations()).To(BeEmpty())
	s.Expect(applied.GetFinalizers()).To(BeEmpty())
	for field, value := range manifest.Object["spec"].(map[string]any) {
		s.Expect(applied.Object["spec"]).To(HaveKeyWithValue(field, value))
	}
	s.Expect(status.Compute(applied)).To(HaveField("Status", Equal(status.CurrentStatus)), "the status is kept: %v", applied.Object["status"])
	for _, entry := range applied.GetManagedFields() {
		isStatus := strings.Contains(entry.FieldsV1.String(), `"f:status"`)
		s.Expect(isStatus).To(Equal(entry.Manager == controllerManager), "who owns what: %s", entry)
		s.Expect(isStatus).To(Equal(entry.Subresource == "status"))
	}
}

// conditionMet is what "kubectl wait --for=condition=" looks for: a condition of
// a value which is about the object as it is.
func conditionMet(obj *unstructured.Unstructured, kind, value string) bool {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, c := range conditions {
		condition := c.(map[string]any)
		if !strings.EqualFold(condition["type"].(string), kind) {
			continue
		}
		if observed, found := condition["observedGeneration"].(int64); found && observed < obj.GetGeneration() {
			return false
		}
		return strings.EqualFold(condition["status"].(string), value)
	}
	return false
}

func TestKubectlWait_ObservesConditions(t *testing.T) {
	for _, version := range []string{"v1", "v1beta2"} {
		t.Run(version, func(t *testing.T) {
			s := newScene(t)
			s.pushTags("app", "1.0.0", "2.0.0")
			policy := s.manifest(version, "ImagePolicy", "app", "imageRepositoryRef: {name: app}, policy: {semver: {range: 1.x}}")
			wait := func(kind, value string) *unstructured.Unstructured {
				t.Helper()
				s.Eventually(func() bool { return conditionMet(s.live(policy), kind, value) }).Should(BeTrue())
				return s.live(policy)
			}
			s.Expect(conditionMet(s.apply(policy), "Ready", "True")).To(BeFalse())
			wait("ready", "false")
			s.apply(s.manifest(version, "ImageRepository", "app", "image: "+s.image("app")+", interval: 1h, insecure: true"))
			wait("ready", "true")

			s.Expect(unstructured.SetNestedField(policy.Object, "2.x", "spec", "policy", "semver", "range")).To(Succeed())
			s.Expect(conditionMet(s.apply(policy), "Ready", "True")).To(BeFalse(), "what is ready is the spec of before")
			tag, _, err := unstructured.NestedString(wait("Ready", "True").Object, "status", "latestRef", "tag")
			s.Expect(err).NotTo(HaveOccurred())
			s.Expect(tag).To(Equal("2.0.0"))

			s.apply(s.manifest(version, "ImageRepository", "app", "image: 'app:1.0.0', interval: 1h, insecure: true"))
			wait("Stalled", "True")
			s.deleted(policy) // kubectl wait --for=delete
		})
	}
}
