// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// countingStore is a TagStore of facts that counts the reads.
type countingStore struct {
	TagStore
	facts      map[string]admission.ImageInfo
	small      bool
	err        error
	all, byTag int
}

func (s *countingStore) Facts(context.Context, store.Key) (map[string]admission.ImageInfo, error) {
	s.all++
	return maps.Clone(s.facts), s.err
}

func (s *countingStore) FactsOf(_ context.Context, _ store.Key, tags ...string) (map[string]admission.ImageInfo, bool, error) {
	s.byTag++
	if s.small {
		return maps.Clone(s.facts), true, s.err
	}
	some := map[string]admission.ImageInfo{}
	for _, tag := range tags {
		if fact, found := s.facts[tag]; found {
			some[tag] = fact
		}
	}
	return some, false, s.err
}

func TestKnownFacts_ReadsEachFactOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		small            bool
		tags, all, byTag int
	}{
		"a small log":                    {true, 200, 0, 1},
		"a few candidates":               {false, 8, 0, 8},
		"the limit":                      {false, maxLookups, 0, maxLookups},
		"many candidates of a large log": {false, 200, 1, maxLookups},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := &countingStore{small: tt.small, facts: map[string]admission.ImageInfo{}}
			for n := range 300 {
				if n%3 > 0 { // the others have no facts
					s.facts[fmt.Sprint(n)] = admission.ImageInfo{Digest: fmt.Sprint("sha256:", n)}
				}
			}
			known := &knownFacts{store: s, facts: map[string]admission.ImageInfo{}}
			for range 2 {
				for n := range tt.tags {
					fact, err := known.of(t.Context(), fmt.Sprint(n))
					g.Expect(err).NotTo(HaveOccurred())
					g.Expect(fact).To(Equal(s.facts[fmt.Sprint(n)]), "tag %d", n)
				}
			}
			g.Expect([]int{s.all, s.byTag}).To(Equal([]int{tt.all, tt.byTag}), "complete reads and lookups")
		})
	}
}

func TestKnownFacts_ReturnsErrorsOfTheStore(t *testing.T) {
	g := NewWithT(t)
	s := &countingStore{err: errors.New("the volume fails")}
	known := &knownFacts{store: s, facts: map[string]admission.ImageInfo{}}
	for range maxLookups + 1 { // lookups, and then a complete read
		g.Expect(known.of(t.Context(), "1")).Error().To(MatchError(s.err))
	}
	s.err, s.facts = nil, map[string]admission.ImageInfo{"1": {Digest: "d"}}
	g.Expect(known.of(t.Context(), "1")).To(Equal(s.facts["1"]), "an error is not cached")
}

// TestMatchingTags_MatchesEachTagOnce lets the second call use a rule that matches other tags: it
// must not be called.
func TestMatchingTags_MatchesEachTagOnce(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	source := newTagSource(f.repo, scan.Next(scan.Snapshot{}, "app", []string{"main-1", "main-2", "pr-3"}, time.Now()), image.Name{})
	compile := func(pattern string) *selection.Rule {
		rule, err := selection.Compile(&v1.ImagePolicySpec{
			FilterTags: &v1.TagFilter{Pattern: pattern},
			Policy:     v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: v1.TimeCreated}},
		})
		g.Expect(err).NotTo(HaveOccurred())
		return rule.WithTimes(func(tag string) (int64, string) { return int64(len(tag)), "" })
	}
	rule, others := compile("^main-"), compile("^none$")
	g.Expect(source.matchingTags(t.Context(), rule)).To(Equal([]string{"main-1", "main-2"}))
	g.Expect(source.matchingTags(t.Context(), others)).To(Equal([]string{"main-1", "main-2"}))
	// the selection takes these tags, and does not match the pattern again
	best, err := (&plainSelector{rule: others, source: source}).selectBest(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(best).To(Equal(&selected{tag: "main-2"}))
}
