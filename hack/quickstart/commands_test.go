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
		held    []slot
		number  int
		want    slot
		problem string
	}{
		{reason: "the only one is meant", held: []slot{two}, want: two},
		{reason: "a number decides", held: []slot{one, two}, number: 2, want: two},
		{reason: "none runs", problem: "nothing runs: start it with make run"},
		{reason: "several run", held: []slot{one, two}, problem: "choose one with -run (1, 2)"},
		{reason: "no such number", held: []slot{one, two}, number: 3, problem: "there is no run 3: choose one of 1, 2"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			g := NewWithT(t)
			got, err := pick(c.held, c.number)
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
	for _, wrong := range []string{"podinfo", "podinfo:", ":1.0.0", ""} {
		_, _, err := split(wrong)
		g.Expect(err).To(MatchError(ContainSubstring("is not of the form REPOSITORY:TAG")), wrong)
	}
}

func TestRow_MatchesKindNamespaceAndName(t *testing.T) {
	g := NewWithT(t)
	r := row{kind: "ImagePolicy", name: "samples/podinfo"}
	for _, named := range []string{"podinfo", "samples/podinfo", "imagepolicy/podinfo", "imagepolicy/samples/podinfo"} {
		g.Expect(r.isNamed(named)).To(BeTrue(), named)
	}
	for _, other := range []string{"", "samples", "preview/podinfo", "imagerepository/podinfo", "imagepolicy/", "pod/samples/podinfo"} {
		g.Expect(r.isNamed(other)).To(BeFalse(), other)
	}
}
