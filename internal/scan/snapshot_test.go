// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
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
	s := Next(Snapshot{}, "a", []string{"1", "2", "10"}, noon)
	g.Expect(s.Has("10")).To(BeTrue())
	g.Expect(s.Has("3")).To(BeFalse())
	g.Expect(s.Latest(2)).To(Equal([]string{"2", "10"}))
	g.Expect(s.Latest(9)).To(Equal([]string{"2", "10", "1"}))
	g.Expect(Snapshot{}.Latest(2)).To(BeEmpty())
	g.Expect(slices.IsSorted(s.Tags)).To(BeTrue(), "Latest does not change the snapshot")
}

func TestEqual_ComparesTagsAndImage(t *testing.T) {
	g := NewWithT(t)
	a := Next(Snapshot{}, "a", []string{"1", "2"}, noon)
	g.Expect(a.Equal(Next(a, "a", []string{"2", "1"}, noon.Add(time.Hour)))).To(BeTrue(), "nothing changed")
	g.Expect(a.Equal(Next(a, "a", []string{"1"}, noon))).To(BeFalse())
	g.Expect(a.Equal(Next(a, "b", []string{"1", "2"}, noon))).To(BeFalse())
}
