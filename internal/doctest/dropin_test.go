// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestDropIn follows the guide: it puts the kustomization of the page and copies
// of the two folders beside what stands for Flux's components.
func TestDropIn(t *testing.T) {
	dir := filepath.Join(overlay(t, "docs/guides/drop-in.md"), "flux-system")
	for _, folder := range []string{"crd", "flux"} {
		if err := os.CopyFS(filepath.Join(dir, "image-reflector-controller", folder), os.DirFS(filepath.Join(root(t), "config", folder))); err != nil {
			t.Fatal(err)
		}
	}
	components, err := os.ReadFile(filepath.Join(root(t), "internal/apitest/testdata/flux/gotk-components.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "gotk-components.yaml"), string(components))
	write(t, filepath.Join(dir, "gotk-sync.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: any}\n")

	container := deployments(t, dir)["image-reflector-controller"].Spec.Template.Spec.Containers[0]
	if container.Image != "registry.example.com/image-reflector-controller:v1.0.0" {
		t.Errorf("the image is %s, and not that of the page", container.Image)
	}
	if !slices.Contains(container.Args, "--storage-value-log-file-size=1048576") {
		t.Errorf("the arguments are %q, and not those of Flux", container.Args)
	}
}
