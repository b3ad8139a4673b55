// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// checkFresh checks tags of a list that was compared against those of one that is not.
func checkFresh(t *testing.T, c *testClient, img image.Name, tags []string) {
	t.Helper()
	g := NewWithT(t)
	fresh, err := c.List(t.Context(), img, AuthOptions{}, "")
	g.Expect(err).NotTo(HaveOccurred(), "a list that is compared has other tags than one that is not")
	g.Expect(tags).To(BeComparableTo(fresh.Tags), "a list that is compared has other tags than one that is not")
}

// TestKnownLists lists twice, and changes the repository in between.
func TestKnownLists(t *testing.T) {
	dropLinks := func(reg *registrytest.Registry) {
		reg.Inject(registrytest.Tags, registrytest.DropHeader("Link"))
	}
	for name, tc := range map[string]struct {
		reason    string
		tags      int
		prepare   func(*registrytest.Registry)
		push      []string
		then      func(*registrytest.Registry) // beside what is pushed
		unchanged bool
		wantTags  int
	}{
		"OnePage":           {reason: "nothing changed", tags: 3, unchanged: true},
		"NoTags":            {reason: "also where there are no tags", tags: 1, unchanged: true},
		"Pages":             {reason: "nothing changed on any page", tags: 25, unchanged: true},
		"PagesWithoutLinks": {reason: "pages that no link leads to are compared too", tags: 2500, prepare: dropLinks, unchanged: false, wantTags: 2500},
		"FirstPage":         {reason: "a tag is new on the first page", tags: 25, push: []string{"a"}, wantTags: 26},
		"LastPage":          {reason: "a tag is new on the last page, so those of the pages before are told too", tags: 25, push: []string{"z"}, wantTags: 26},
		"Shorter":           {reason: "it begins as the one that is known, and is another", tags: 20, then: dropLinks, wantTags: 10},
		"OneMorePage":       {reason: "a page is new", tags: 30, push: []string{"z"}, wantTags: 31},
	} {
		t.Run(name, func(t *testing.T) {
			reg := registrytest.Start(t, registrytest.WithMaxPage(10))
			if tc.prepare != nil {
				reg = registrytest.Start(t)
				tc.prepare(reg)
			}
			reg.PushTags(t, "app", numbered(tc.tags)...)
			c, img := newTestClient(t), parse(t, reg.Image("app"))
			first, err := c.List(t.Context(), img, AuthOptions{}, "")
			if err != nil || first.Unchanged || len(first.Tags) != tc.tags {
				t.Fatalf("%s: first list: %d tags, unchanged %t, %v", tc.reason, len(first.Tags), first.Unchanged, err)
			}
			reg.PushTags(t, "app", tc.push...)
			if tc.then != nil {
				tc.then(reg)
			}
			second, err := c.List(t.Context(), img, AuthOptions{}, first.Fingerprint)
			if err != nil || second.Unchanged != tc.unchanged || len(second.Tags) != tc.wantTags {
				t.Fatalf("%s: second list: %d tags, unchanged %t, %v", tc.reason, len(second.Tags), second.Unchanged, err)
			}
			if !tc.unchanged {
				checkFresh(t, c, img, second.Tags)
			}
		})
	}
}
