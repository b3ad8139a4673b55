// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// plurals maps kinds to resources.
var plurals = map[string]string{"ImageRepository": "imagerepositories", "ImagePolicy": "imagepolicies"}

// TestCRD_VersionsShareOneSchema checks that the versions have the same schema. They are not
// converted, so a difference would lose data.
func TestCRD_VersionsShareOneSchema(t *testing.T) {
	for kind, plural := range plurals {
		t.Run(kind, func(t *testing.T) {
			g := NewWithT(t)
			spec := definition(t, plural)
			if strategy, _, _ := unstructured.NestedString(spec, "conversion", "strategy"); strategy != "None" {
				t.Errorf("the conversion strategy is %q, want None", strategy)
			}
			served, _, _ := unstructured.NestedSlice(spec, "versions")
			g.Expect(served).To(HaveLen(len(versions)), "%d versions are served, want %v", len(served), versions)
			first := served[0].(map[string]any)
			for _, each := range served {
				version := each.(map[string]any)
				if stored := version["name"] == "v1"; version["storage"] != stored || version["served"] != true || version["deprecated"] == true && stored {
					t.Errorf("%v: storage is %v, served %v, deprecated %v", version["name"], version["storage"], version["served"], version["deprecated"])
				}
				for _, field := range []string{"schema", "subresources", "additionalPrinterColumns"} {
					g.Expect(version[field]).To(Equal(first[field]), "%s of %v differs from that of %v", field, version["name"], first["name"])
				}
			}
		})
	}
}

// definition returns the spec of a CRD.
func definition(t *testing.T, plural string) map[string]any {
	t.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	NewWithT(t).Expect(server.Get(t.Context(), client.ObjectKey{Name: plural + "." + group}, crd)).To(Succeed())
	return crd.Object["spec"].(map[string]any)
}

func TestCRD_HasShortNamesAndCategories(t *testing.T) {
	g := NewWithT(t)
	short := map[string][]string{"imagerepositories": {"imgrepo", "imagerepo"}, "imagepolicies": {"imgpol", "imagepol"}}
	for _, version := range versions {
		var list metav1.APIResourceList
		get(t, "/apis/"+group+"/"+version, "application/json", &list)
		for _, resource := range list.APIResources {
			if strings.HasSuffix(resource.Name, "/status") {
				continue
			}
			want := short[resource.Name]
			g.Expect(want).NotTo(BeEmpty(), "the short names of %s %s", version, resource.Name)
			g.Expect(resource.ShortNames).To(Equal(want), "the short names of %s %s", version, resource.Name)
			g.Expect(resource.Categories).To(ContainElement("fluxcd"), "the categories of %s %s", version, resource.Name)
			g.Expect(resource.Categories).To(ContainElement("all"), "the categories of %s %s", version, resource.Name)
		}
		g.Expect(list.APIResources).To(HaveLen(4), "resources of %s", version)
	}
}

// TestCRD_HasPrinterColumns requests tables, as kubectl get does.
func TestCRD_HasPrinterColumns(t *testing.T) {
	now := metav1.Now().UTC().Format("2006-01-02T15:04:05Z")
	ready := []any{map[string]any{"type": "Ready", "status": "True", "reason": "Succeeded", "message": "fine", "lastTransitionTime": now}}
	cases := map[string]struct {
		spec   string
		status map[string]any
		// Columns and cells of "kubectl get", and those that -o wide adds. "*" is any value.
		columns, cells, wide, wideCells []string
	}{
		"ImageRepository": {
			spec:    scanned,
			status:  map[string]any{"conditions": ready, "lastScanResult": map[string]any{"tagCount": int64(3), "scanTime": now}},
			columns: []string{"Name", "Image", "Tags", "Ready", "Status", "Age"},
			cells:   []string{"columns", "ghcr.io/stefanprodan/podinfo", "3", "True", "fine", "*"},
			wide:    []string{"Last scan"}, wideCells: []string{"*"},
		},
		"ImagePolicy": {
			spec:    repository + "policy: {numerical: {}}",
			status:  map[string]any{"conditions": ready, "latestRef": map[string]any{"name": "ghcr.io/a/b", "tag": "7", "digest": "sha256:0"}},
			columns: []string{"Name", "Image", "Tag", "Ready", "Status", "Age"},
			cells:   []string{"columns", "ghcr.io/a/b", "7", "True", "fine", "*"},
			wide:    []string{"Digest"}, wideCells: []string{"sha256:0"},
		},
	}
	for kind, tc := range cases {
		obj := newObject(t, "v1", kind, "columns", tc.spec)
		create(t, obj)
		obj.Object["status"] = tc.status
		NewWithT(t).Expect(server.Status().Update(t.Context(), obj)).To(Succeed())
		for _, version := range versions {
			t.Run(version+"/"+kind, func(t *testing.T) {
				var table metav1.Table
				path := fmt.Sprintf("/apis/%s/%s/namespaces/%s/%s/columns", group, version, namespace, plurals[kind])
				get(t, path, "application/json;as=Table;v=v1;g=meta.k8s.io", &table)
				checkColumns(t, table, 0, tc.columns, tc.cells)
				checkColumns(t, table, 1, tc.wide, tc.wideCells)
			})
		}
	}
}

// checkColumns compares the printer columns of a CRD that have a priority.
func checkColumns(t *testing.T, table metav1.Table, priority int32, columns, cells []string) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(table.Rows).To(HaveLen(1), "rows of the table")
	var gotColumns, gotCells []string
	for i, column := range table.ColumnDefinitions {
		if column.Priority != priority {
			continue
		}
		gotColumns = append(gotColumns, column.Name)
		cell := fmt.Sprint(table.Rows[0].Cells[i])
		if n := len(gotCells); n < len(cells) && cells[n] == "*" && cell != "" {
			cell = "*"
		}
		gotCells = append(gotCells, cell)
	}
	g.Expect(gotColumns).To(Equal(columns), "columns of priority %d", priority)
	g.Expect(gotCells).To(Equal(cells), "columns of priority %d", priority)
}

// get sends a GET request for a path to the API server and decodes the JSON response.
func get(t *testing.T, path, accept string, into any) {
	t.Helper()
	g := NewWithT(t)
	discovered, err := discovery.NewDiscoveryClientForConfig(server.config)
	g.Expect(err).NotTo(HaveOccurred())
	body, err := discovered.RESTClient().Get().AbsPath(path).SetHeader("Accept", accept).DoRaw(t.Context())
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	g.Expect(err).NotTo(HaveOccurred(), "%s: %v: %s", path, err, body)
}
