// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// fileName is the line in front of a block that says which file the block is.
var fileName = regexp.MustCompile("^`(\\S+)`:$")

// overlay writes the kustomizations of a page below a new folder, and returns it.
// Their "../../config" is the repository's.
func overlay(t *testing.T, path string) string {
	t.Helper()
	dir := t.TempDir()
	config, err := filepath.Rel(filepath.Join(resolved(t, dir), "shards", "any"), filepath.Join(resolved(t, root(t)), "config"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages(t) {
		if p.path != path {
			continue
		}
		for _, b := range p.blocks() {
			m := fileName.FindStringSubmatch(p.lines[max(0, b.line-3)])
			if m == nil || !strings.Contains(b.text, "kind: Kustomization") {
				continue
			}
			file := filepath.Join(dir, m[1])
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(b.text, "../../config", config)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// resolved returns a path without symbolic links, as kustomize sees it.
func resolved(t *testing.T, path string) string {
	t.Helper()
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// deployments returns the Deployments of a kustomization by name.
func deployments(t *testing.T, dir string) map[string]appsv1.Deployment {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	content, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]appsv1.Deployment{}
	for _, document := range bytes.Split(content, []byte("\n---\n")) {
		if !bytes.Contains(document, []byte("kind: Deployment\n")) {
			continue
		}
		var deployment appsv1.Deployment
		if err := yaml.UnmarshalStrict(document, &deployment); err != nil {
			t.Fatal(err)
		}
		found[deployment.Name] = deployment
	}
	return found
}

// TestShards builds the example of two shards, and holds it to the rules of its
// page: each object belongs to one shard, and each Pod to one Deployment.
func TestShards(t *testing.T) {
	all := deployments(t, filepath.Join(overlay(t, "docs/guides/sharding.md"), "shards"))
	const main, second = "image-reflector-controller", "image-reflector-controller-shard1"
	if len(all) != 2 || all[main].Name == "" || all[second].Name == "" {
		t.Fatalf("there are %d Deployments, and not the two of the page", len(all))
	}
	for name, deployment := range all {
		pod := deployment.Spec.Template
		if deployment.Namespace != "image-reflector-system" || pod.Spec.ServiceAccountName != main {
			t.Errorf("%s is in the namespace %q, with the account %q", name, deployment.Namespace, pod.Spec.ServiceAccountName)
		}
		if !slices.Contains(pod.Spec.Containers[0].Args, "--enable-leader-election") {
			t.Errorf("%s elects no leader", name)
		}
		selectsPods(t, deployment, all)
	}
	for owner, object := range map[string]labels.Set{
		main:   {"app": "podinfo"},
		second: {"sharding.fluxcd.io/key": "shard1"},
	} {
		for name, deployment := range all {
			if watches(t, deployment).Matches(object) != (name == owner) {
				t.Errorf("an object with the labels %v belongs to %s, and %s disagrees", object, owner, name)
			}
		}
	}
}

// watches returns the selector that the controller of a Deployment is given.
func watches(t *testing.T, deployment appsv1.Deployment) labels.Selector {
	t.Helper()
	for _, arg := range deployment.Spec.Template.Spec.Containers[0].Args {
		if text, found := strings.CutPrefix(arg, "--watch-label-selector="); found {
			selector, err := labels.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			return selector
		}
	}
	t.Fatalf("%s has no selector", deployment.Name)
	return nil
}

// selectsPods expects a Deployment to select its own Pods of all, and no others.
func selectsPods(t *testing.T, deployment appsv1.Deployment, all map[string]appsv1.Deployment) {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(deployment.Spec.Selector)
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range all {
		if selector.Matches(labels.Set(other.Spec.Template.Labels)) != (name == deployment.Name) {
			t.Errorf("the Deployment %s selects Pods of %s wrongly", deployment.Name, name)
		}
	}
}
