// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestPick_SelectsRunByNumber(t *testing.T) {
	one, two := slot{number: 1}, slot{number: 2}
	for _, c := range []struct {
		reason  string
		active  []slot
		number  int
		want    slot
		problem string
	}{
		{reason: "the only one is selected", active: []slot{two}, want: two},
		{reason: "the number selects one", active: []slot{one, two}, number: 2, want: two},
		{reason: "no run is active", problem: "nothing runs: start it with make run"},
		{reason: "several runs are active", active: []slot{one, two}, problem: "choose one with -run (1, 2)"},
		{reason: "no such number", active: []slot{one, two}, number: 3, problem: "there is no run 3: choose one of 1, 2"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			g := NewWithT(t)
			got, err := selectSlot(c.active, c.number)
			if c.problem != "" {
				g.Expect(err).To(MatchError(ContainSubstring(c.problem)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(c.want))
		})
	}
}

func TestSplit_ReturnsRepositoryAndTag(t *testing.T) {
	g := NewWithT(t)
	repository, tag, err := split("podinfo:1.11.0")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect([]string{repository, tag}).To(Equal([]string{"podinfo", "1.11.0"}))
	for _, invalid := range []string{"podinfo", "podinfo:", ":1.0.0", ""} {
		_, _, err := split(invalid)
		g.Expect(err).To(MatchError(ContainSubstring("is not of the form REPOSITORY:TAG")), invalid)
	}
}

func TestRow_MatchesKindNamespaceAndName(t *testing.T) {
	g := NewWithT(t)
	r := row{kind: "ImagePolicy", name: "samples/podinfo"}
	for _, reference := range []string{"podinfo", "samples/podinfo", "imagepolicy/podinfo", "imagepolicy/samples/podinfo"} {
		g.Expect(r.matches(reference)).To(BeTrue(), reference)
	}
	for _, other := range []string{"", "samples", "preview/podinfo", "imagerepository/podinfo", "imagepolicy/", "pod/samples/podinfo"} {
		g.Expect(r.matches(other)).To(BeFalse(), other)
	}
}
