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

// manifest returns an object as in a Git repository.
func (f *fixture) manifest(version, kind, name, spec string) *unstructured.Unstructured {
	f.t.Helper()
	obj := &unstructured.Unstructured{Object: map[string]any{}}
	f.Expect(yaml.Unmarshal([]byte("spec: {"+spec+"}"), &obj.Object)).To(Succeed())
	obj.SetAPIVersion(v1.GroupVersion.Group + "/" + version)
	obj.SetKind(kind)
	obj.SetNamespace(f.namespace)
	obj.SetName(name)
	obj.SetLabels(map[string]string{shardLabel: f.namespace})
	return obj
}

// apply applies an object as kustomize-controller does.
func (f *fixture) apply(obj *unstructured.Unstructured, opts ...client.ApplyOption) *unstructured.Unstructured {
	f.t.Helper()
	applied := obj.DeepCopy()
	opts = append(opts, client.FieldOwner("kustomize-controller"), client.ForceOwnership)
	f.Expect(suite.api.Apply(f.ctx, client.ApplyConfigurationFromUnstructured(applied), opts...)).To(Succeed())
	return applied
}

// live reads the object from the API server.
func (f *fixture) live(obj *unstructured.Unstructured) *unstructured.Unstructured {
	f.t.Helper()
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(obj.GroupVersionKind())
	f.Expect(suite.api.Get(f.ctx, client.ObjectKeyFromObject(obj), live)).To(Succeed())
	return live
}

// awaitHealthy waits until the object passes the health check of kustomize-controller.
func (f *fixture) awaitHealthy(obj *unstructured.Unstructured) {
	f.t.Helper()
	f.Eventually(func(g Gomega) {
		result, err := status.Compute(f.live(obj))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(result.Status).To(Equal(status.CurrentStatus), result.Message)
	}).Should(Succeed())
}

// TestServerSideApply_CausesNoDrift applies the same manifests repeatedly, in both versions, while
// the controller writes the status. Neither overwrites the fields of the other.
func TestServerSideApply_CausesNoDrift(t *testing.T) {
	for _, version := range []string{"v1", "v1beta2"} {
		t.Run(version, func(t *testing.T) {
			f := newFixture(t)
			f.pushTags("app", "1.0.0")
			repo := f.manifest(version, "ImageRepository", "app", "image: "+f.image("app")+", interval: 1s, timeout: 20s, insecure: true")
			policy := f.manifest(version, "ImagePolicy", "app",
				"imageRepositoryRef: {name: app}, policy: {semver: {range: 1.x}}, digestReflectionPolicy: Always, interval: 1s")
			for _, obj := range []*unstructured.Unstructured{repo, policy} {
				f.apply(obj)
			}
			f.awaitHealthy(repo)
			f.awaitHealthy(policy)
			deadline, rounds := time.Now().Add(4*time.Second), 0
			for ; time.Now().Before(deadline) || rounds < 20; rounds++ {
				if rounds%10 == 0 {
					f.pushTags("app", "1."+strings.Repeat("1", 1+rounds/10)+".0")
				}
				for _, obj := range []*unstructured.Unstructured{repo, policy} {
					f.expectNoDrift(obj, f.apply(obj, client.DryRunAll))
					f.expectNoDrift(obj, f.apply(obj))
				}
			}
			f.awaitHealthy(policy)
			f.Expect(f.live(policy).GetGeneration()).To(Equal(int64(1)))
		})
	}
}

// expectNoDrift expects that an apply kept the spec of the manifest and the status.
func (f *fixture) expectNoDrift(manifest, applied *unstructured.Unstructured) {
	f.t.Helper()
	f.Expect(applied.GetGeneration()).To(Equal(int64(1)))
	f.Expect(applied.GetLabels()).To(Equal(manifest.GetLabels()))
	f.Expect(applied.GetAnnotations()).To(BeEmpty())
	f.Expect(applied.GetFinalizers()).To(BeEmpty())
	for field, value := range manifest.Object["spec"].(map[string]any) {
		f.Expect(applied.Object["spec"]).To(HaveKeyWithValue(field, value))
	}
	f.Expect(status.Compute(applied)).To(HaveField("Status", Equal(status.CurrentStatus)), "the status is kept: %v", applied.Object["status"])
	for _, entry := range applied.GetManagedFields() {
		isStatus := strings.Contains(entry.FieldsV1.String(), `"f:status"`)
		f.Expect(isStatus).To(Equal(entry.Manager == controllerManager), "owner of the fields: %s", entry)
		f.Expect(isStatus).To(Equal(entry.Subresource == "status"))
	}
}

// conditionMet reports what "kubectl wait --for=condition=" waits for: a condition with a value
// for the current generation.
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
			f := newFixture(t)
			f.pushTags("app", "1.0.0", "2.0.0")
			policy := f.manifest(version, "ImagePolicy", "app", "imageRepositoryRef: {name: app}, policy: {semver: {range: 1.x}}")
			wait := func(kind, value string) *unstructured.Unstructured {
				t.Helper()
				f.Eventually(func() bool { return conditionMet(f.live(policy), kind, value) }).Should(BeTrue())
				return f.live(policy)
			}
			f.Expect(conditionMet(f.apply(policy), "Ready", "True")).To(BeFalse())
			wait("ready", "false")
			f.apply(f.manifest(version, "ImageRepository", "app", "image: "+f.image("app")+", interval: 1h, insecure: true"))
			wait("ready", "true")

			f.Expect(unstructured.SetNestedField(policy.Object, "2.x", "spec", "policy", "semver", "range")).To(Succeed())
			f.Expect(conditionMet(f.apply(policy), "Ready", "True")).To(BeFalse(), "the condition is about the previous generation")
			tag, _, err := unstructured.NestedString(wait("Ready", "True").Object, "status", "latestRef", "tag")
			f.Expect(err).NotTo(HaveOccurred())
			f.Expect(tag).To(Equal("2.0.0"))

			f.apply(f.manifest(version, "ImageRepository", "app", "image: 'app:1.0.0', interval: 1h, insecure: true"))
			wait("Stalled", "True")
			f.deleteAndWait(policy) // kubectl wait --for=delete
		})
	}
}
