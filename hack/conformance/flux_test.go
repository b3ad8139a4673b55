// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// pair creates a repository and a policy.
func (c cli) pair() {
	c.t.Helper()
	c.push("1.0.0", "1.1.0", "2.0.0")
	c.Expect(c.flux("create image repository app --interval=1m --image=" + c.image())).To(ContainSubstring("reconciliation completed"))
	c.Expect(c.flux("create image policy app --image-ref=app --select-semver=1.x")).To(ContainSubstring("reconciliation completed"))
}

// tableRows returns the words of each table row whose first word ends with the name.
func tableRows(output, name string) [][]string {
	var found [][]string
	for line := range strings.Lines(output) {
		if words := strings.Fields(line); len(words) > 0 && strings.HasSuffix(words[0], name) {
			found = append(found, words)
		}
	}
	return found
}

func TestFluxCLI_CreatesGetsUpdatesAndDeletes(t *testing.T) {
	forEachCLI(t, func(c cli) {
		c.pair()
		c.Expect(tableRows(c.flux("get image repository app"), "app")).To(ConsistOf(ContainElements("False", "True", "successful", "3")))
		c.expectLatest("1.1.0")
		all := c.flux("get images all")
		c.Expect(tableRows(all, "imagerepository/app")).To(HaveLen(1))
		c.Expect(tableRows(all, "imagepolicy/app")).To(HaveLen(1))
		c.Expect(c.flux("get images all -A")).To(ContainSubstring(c.namespace))
		c.Expect(tableRows(c.flux("get image policy --status-selector=ready=true"), "app")).To(HaveLen(1))

		c.Expect(c.flux("create image policy app --image-ref=app --select-semver=2.x")).To(ContainSubstring("reconciliation completed"))
		c.expectLatest("2.0.0")
		c.flux("create image policy app --image-ref=app --select-semver=2.x --reflect-digest=IfNotPresent")
		c.expectLatest("2.0.0")

		c.Expect(c.flux("delete image policy app --silent")).To(ContainSubstring("deleted"))
		c.Expect(c.flux("delete image repository app --silent")).To(ContainSubstring("deleted"))
		c.fails("get image repository app")
		c.pair() // nothing of the previous objects is left
	})
}

// expectLatest expects the image and the tag in their columns of "flux get image policy".
func (c cli) expectLatest(tag string) {
	c.t.Helper()
	want := []string{"app", c.image(), tag, "True"}
	if c.version == "v1beta2" {
		want = []string{"app", c.image() + ":" + tag, "True"}
	}
	found := tableRows(c.flux("get image policy app"), "app")
	c.Expect(found).To(HaveLen(1))
	c.Expect(found[0][:len(want)]).To(Equal(want))
}

func TestFluxCLI_ReconcilesSuspendsAndResumes(t *testing.T) {
	forEachCLI(t, func(c cli) {
		c.pair()
		c.push("1.2.0")
		c.Expect(c.flux("reconcile image repository app")).To(ContainSubstring("scan fetched 4 tags"))
		c.Eventually(func() string { return c.flux("get image policy app") }, "10s").Should(ContainSubstring("1.2.0"))

		c.flux("suspend image repository app")
		c.Expect(tableRows(c.flux("get image repository app"), "app")).To(ConsistOf(ContainElements("True", "successful")))
		c.Expect(c.fails("reconcile image repository app")).To(ContainSubstring("suspended"))
		c.push("1.3.0")
		c.Expect(c.flux("resume image repository app")).To(ContainSubstring("reconciliation completed"))
		c.Expect(c.flux("reconcile image repository app")).To(ContainSubstring("scan fetched 5 tags"))
		if c.version == "v1beta2" {
			return // its CLI has these commands only for repositories
		}
		c.Expect(c.flux("reconcile image policy app")).To(ContainSubstring("selected ref " + c.image() + ":1.3.0"))
		c.flux("suspend image policy app")
		c.Expect(c.fails("reconcile image policy app")).To(ContainSubstring("suspended"))
		c.Expect(c.flux("resume image policy app")).To(ContainSubstring("selected ref " + c.image() + ":1.3.0"))
	})
}

func TestFluxCLI_ReportsErrors(t *testing.T) {
	forEachCLI(t, func(c cli) {
		c.pair()
		c.Expect(c.fails("create image policy bad --image-ref=app --select-semver=nonsense")).To(ContainSubstring("range"))
		c.Expect(c.fails("create image policy orphan --image-ref=missing --select-semver=1.x --timeout=3s")).To(ContainSubstring("deadline"))
		c.Expect(tableRows(c.flux("get image policy orphan"), "orphan")).To(ConsistOf(ContainElements("False", "found:")))

		repo := &unstructured.Unstructured{}
		repo.SetAPIVersion("image.toolkit.fluxcd.io/" + c.version)
		repo.SetKind("ImageRepository")
		c.Expect(cluster.admin.Get(c.t.Context(), client.ObjectKey{Namespace: c.namespace, Name: "app"}, repo)).To(Succeed())
		c.Expect(unstructured.SetNestedField(repo.Object, c.image()+":1.0.0", "spec", "image")).To(Succeed())
		c.Expect(cluster.admin.Update(c.t.Context(), repo)).To(Succeed())
		if c.version == "v1" { // the older CLI waits until its timeout
			c.Expect(c.fails("reconcile image repository app")).To(ContainSubstring("it must not have a tag"))
		}
		c.Expect(c.flux("create image repository app --interval=1m --image=" + c.image())).To(ContainSubstring("reconciliation completed"))
	})
}

func TestFluxCLI_ExportsAndListsEvents(t *testing.T) {
	forEachCLI(t, func(c cli) {
		c.pair()
		for _, kind := range []string{"repository", "policy"} {
			text := c.flux("export image " + kind + " app")
			exported := &unstructured.Unstructured{}
			c.Expect(yaml.Unmarshal([]byte(strings.TrimPrefix(text, "---\n")), exported)).To(Succeed())
			live := exported.DeepCopy()
			c.Expect(cluster.admin.Get(c.t.Context(), client.ObjectKeyFromObject(exported), live)).To(Succeed())
			exported.SetResourceVersion(live.GetResourceVersion())
			c.Expect(cluster.admin.Update(c.t.Context(), exported)).To(Succeed())
			c.Expect(exported.GetGeneration()).To(Equal(live.GetGeneration()), "the exported object can be applied without a change")
		}
		c.Eventually(func() string { return c.flux("events --for=ImagePolicy/app") }, "10s").Should(
			And(ContainSubstring("resolved to 1.1.0"), ContainSubstring("successful scan")), "events of the repository are also listed")
		c.Expect(c.flux("events --for=ImageRepository/app --types=warning")).To(ContainSubstring("No events found"))
	})
}
