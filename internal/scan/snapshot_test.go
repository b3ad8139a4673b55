// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

func TestNext_SortsAndRemovesDuplicates(t *testing.T) {
	g := NewWithT(t)
	in := []string{"b", "a", "b", "B"}
	got := Next(Snapshot{}, "image", in, noon)
	g.Expect(got.Tags).To(Equal([]string{"B", "a", "b"}))
	g.Expect(got.FirstSeen).To(Equal([]int64{noon.Unix(), noon.Unix(), noon.Unix()}))
	g.Expect(got.Since).To(Equal(noon.Unix()))
	g.Expect(got.Image).To(Equal("image"))
}

func TestNext_KeepsFirstSeenTimes(t *testing.T) {
	g := NewWithT(t)
	first := Next(Snapshot{}, "image", []string{"b", "d"}, noon)
	later := noon.Add(time.Hour)
	second := Next(first, "image", []string{"a", "b", "c", "e"}, later)
	g.Expect(second.Tags).To(Equal([]string{"a", "b", "c", "e"}))
	g.Expect(second.FirstSeen).To(Equal([]int64{later.Unix(), noon.Unix(), later.Unix(), later.Unix()}))
	g.Expect(second.Since).To(Equal(noon.Unix()))

	other := Next(first, "other", []string{"b"}, later)
	g.Expect(other.FirstSeen).To(Equal([]int64{later.Unix()}), "first-seen times of another image are not copied")
	g.Expect(other.Since).To(Equal(later.Unix()))
}

func TestRevision_DependsOnTagsOnly(t *testing.T) {
	g := NewWithT(t)
	tags := []string{"1.0.0", "1.0.1", "latest"}
	revision := Next(Snapshot{}, "a", tags, noon).Revision()
	for range 20 {
		rand.Shuffle(len(tags), func(i, j int) { tags[i], tags[j] = tags[j], tags[i] })
		g.Expect(Next(Snapshot{}, "b", tags, noon.Add(time.Hour)).Revision()).To(Equal(revision),
			"order, time and image don't matter")
	}
	revisionOf := func(tags ...string) string { return Next(Snapshot{}, "a", tags, noon).Revision() }
	g.Expect(revisionOf("ab")).NotTo(Equal(revisionOf("a", "b")))
	g.Expect(revisionOf()).NotTo(Equal(revisionOf("")))
	g.Expect(revision).To(MatchRegexp("^sha256:[0-9a-f]{64}$"))
}

func TestSnapshot_ReturnsLatestTags(t *testing.T) {
	g := NewWithT(t)
	s := Next(Snapshot{}, "a", []string{"1", "2", "10", "10-rc1"}, noon)
	g.Expect(s.Has("10")).To(BeTrue())
	g.Expect(s.Has("3")).To(BeFalse())
	g.Expect(s.Latest(1)).To(Equal([]string{"10"}))
	g.Expect(s.Latest(2)).To(Equal([]string{"10", "10-rc1"}))
	g.Expect(s.Latest(9)).To(Equal([]string{"10", "10-rc1", "2", "1"}))
	g.Expect(Snapshot{}.Latest(2)).To(BeEmpty())
	g.Expect(slices.IsSorted(s.Tags)).To(BeTrue(), "Latest does not change the snapshot")
}

// TestLatest_MatchesSort checks that the tags are those of a sorted list.
func TestLatest_MatchesSort(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		tags := make([]string, 1+rnd.IntN(300))
		for i := range tags {
			tags[i] = fmt.Sprintf("%d.%d%s", rnd.IntN(12), rnd.IntN(12), []string{"", "-rc1", "-alpine"}[rnd.IntN(3)])
		}
		s := Next(Snapshot{}, "a", tags, noon)
		want := slices.SortedFunc(slices.Values(s.Tags), func(a, b string) int { return selection.CompareNatural(b, a) })
		n := 1 + rnd.IntN(100)
		NewWithT(t).Expect(s.Latest(n)).To(HaveExactElements(want[:min(n, len(want))]), "%d of %q", n, s.Tags)
	}
}

// BenchmarkLatest compares the costs of a changed list of 10,000 tags: sorting and comparing it with
// the previous one, its revision, and the latest tags.
func BenchmarkLatest(b *testing.B) {
	tags := make([]string, 10_000)
	for i := range tags {
		tags[i] = fmt.Sprintf("v%d.%d.%d-k3s%d", i%7, i%100, i, i%12)
	}
	s := Next(Snapshot{}, "a", tags, noon)
	for name, do := range map[string]func(){
		"next":       func() { Next(s, "a", slices.Clone(tags), noon) },
		"revision":   func() { s.Revision() },
		"latest-10":  func() { s.Latest(10) },
		"latest-100": func() { s.Latest(100) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				do()
			}
		})
	}
}

func TestEqual_ComparesTagsAndImage(t *testing.T) {
	g := NewWithT(t)
	a := Next(Snapshot{}, "a", []string{"1", "2"}, noon)
	g.Expect(a.Equal(Next(a, "a", []string{"2", "1"}, noon.Add(time.Hour)))).To(BeTrue(), "nothing changed")
	g.Expect(a.Equal(Next(a, "a", []string{"1"}, noon))).To(BeFalse())
	g.Expect(a.Equal(Next(a, "b", []string{"1", "2"}, noon))).To(BeFalse())
}
