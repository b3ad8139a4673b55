// SPDX-License-Identifier: Apache-2.0

package api

import (
	"reflect"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestCRD_SetsDefaults(t *testing.T) {
	cases := map[string]struct {
		reason, kind, spec string
		path               []string
		want               any
	}{
		"exclusion list":       {reason: "signatures are excluded", kind: "ImageRepository", spec: scanned, path: []string{"spec", "exclusionList"}, want: []any{`^.*\.sig$`}},
		"exclusion list given": {reason: "a value of the user is kept", kind: "ImageRepository", spec: scanned + "exclusionList: [^a$]", path: []string{"spec", "exclusionList"}, want: []any{"^a$"}},
		"provider":             {reason: "credentials come from Secrets", kind: "ImageRepository", spec: scanned, path: []string{"spec", "provider"}, want: "generic"},
		"repository status":    {reason: "kstatus must not report a new object as current", kind: "ImageRepository", spec: scanned, path: []string{"status", "observedGeneration"}, want: int64(-1)},
		"digest reflection": {reason: "digests are reflected on request only", kind: "ImagePolicy", spec: repository + "policy: {numerical: {}}",
			path: []string{"spec", "digestReflectionPolicy"}, want: "Never"},
		"alphabetical order": {reason: "the last is the latest", kind: "ImagePolicy", spec: repository + "policy: {alphabetical: {}}",
			path: []string{"spec", "policy", "alphabetical", "order"}, want: "asc"},
		"natural order": {reason: "the last is the latest", kind: "ImagePolicy", spec: repository + "policy: {natural: {}}",
			path: []string{"spec", "policy", "natural", "order"}, want: "asc"},
		"latest tags": {reason: "the controller has the default, so that no existing object changes", kind: "ImageRepository", spec: scanned,
			path: []string{"spec", "latestTags"}},
		"numerical order": {reason: "the greatest is the latest", kind: "ImagePolicy", spec: repository + "policy: {numerical: {}}",
			path: []string{"spec", "policy", "numerical", "order"}, want: "asc"},
		"policy status": {reason: "kstatus must not report a new object as current", kind: "ImagePolicy", spec: repository + "policy: {numerical: {}}",
			path: []string{"status", "observedGeneration"}, want: int64(-1)},
		"interval": {reason: "the controller has the default, so that changing Always to Never needs no other change", kind: "ImagePolicy",
			spec: repository + "policy: {numerical: {}}\ndigestReflectionPolicy: Always", path: []string{"spec", "interval"}},
	}
	for _, version := range versions {
		for name, tc := range cases {
			t.Run(version+"/"+name, func(t *testing.T) {
				g := NewWithT(t)
				obj := newObject(t, version, tc.kind, "defaults", tc.spec)
				create(t, obj)
				got, _, err := unstructured.NestedFieldNoCopy(obj.Object, tc.path...)
				g.Expect(err).NotTo(HaveOccurred(), tc.reason)
				g.Expect(reflect.DeepEqual(got, tc.want)).To(BeTrue(), "%v is %#v, want %#v: %s", tc.path, got, tc.want, tc.reason)
			})
		}
	}
}

// TestStatus_AcceptsV1beta2Fields checks that the API stores the status fields of v1beta2
// controllers, which this controller migrates.
func TestStatus_AcceptsV1beta2Fields(t *testing.T) {
	cases := map[string]struct {
		reason string
		status map[string]any
	}{
		"image": {reason: "a policy with one selection", status: map[string]any{"latestImage": "localhost:5000/a:1.0.0"}},
		"images": {reason: "a policy with a previous image", status: map[string]any{
			"latestImage": "ghcr.io/a/b:1.1.0", "observedPreviousImage": "ghcr.io/a/b:1.0.0"}},
		"refs without name": {reason: "v1beta2 has the name in image", status: map[string]any{
			"latestRef":           map[string]any{"image": "ghcr.io/a/b", "tag": "1.1.0"},
			"observedPreviousRef": map[string]any{"image": "ghcr.io/a/b", "tag": "1.0.0"}}},
		"refs without image": {reason: "v1 has the name in name", status: map[string]any{
			"latestRef": map[string]any{"name": "ghcr.io/a/b", "tag": "1.1.0", "digest": "sha256:0"}}},
		"unparsable": {reason: "invalid values were not rejected", status: map[string]any{"latestImage": "::"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			old := newObject(t, "v1beta2", "ImagePolicy", "old", repository+"policy: {numerical: {}}")
			create(t, old)
			old.Object["status"] = tc.status
			NewWithT(t).Expect(server.Status().Update(t.Context(), old)).To(Succeed(), tc.reason)
			for _, version := range versions {
				NewWithT(t).Expect(read(t, version, old).Object["status"]).To(Equal(tc.status), "as %s: %s", version, tc.reason)
			}
		})
	}
}

// TestVersions_RoundTrip checks that an object is the same in all versions.
func TestVersions_RoundTrip(t *testing.T) {
	specs := map[string]string{
		"ImageRepository": scanned + "exclusionList: [^a$]\nsecretRef: {name: b}\nprovider: aws\naccessFrom: {namespaceSelectors: [{matchLabels: {c: d}}]}",
		"ImagePolicy":     repository + "policy: {semver: {range: ^1}}\nfilterTags: {pattern: (.*), extract: $1}\ndigestReflectionPolicy: Always\ninterval: 1m",
	}
	for kind, spec := range specs {
		for _, version := range versions {
			t.Run(kind+"/"+version, func(t *testing.T) {
				written := newObject(t, version, kind, "round-trip", spec)
				create(t, written)
				for _, other := range versions {
					NewWithT(t).Expect(read(t, other, written).Object["spec"]).To(Equal(written.Object["spec"]), "written as %s and read as %s", version, other)
				}
			})
		}
	}
}

// read returns the object in a version.
func read(t *testing.T, version string, obj *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	got := &unstructured.Unstructured{}
	got.SetAPIVersion(group + "/" + version)
	got.SetKind(obj.GetKind())
	NewWithT(t).Expect(server.Get(t.Context(), client.ObjectKeyFromObject(obj), got)).To(Succeed())
	return got
}
