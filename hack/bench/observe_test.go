// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// newTestObserver returns an observer of two pairs, the first with all gates, whose registry has
// the tags 1.0.0 to 1.199.0.
func newTestObserver(t *testing.T) *observer {
	t.Helper()
	registry := newSyntheticRegistry(1, 1, 0)
	registry.churn()
	o := newObserver(&fixture{load: load{gated: 1, signed: 1, minimumAge: time.Hour}, registries: []*syntheticRegistry{registry}})
	t.Cleanup(func() { registry.close(); o.receiver.Close() })
	return o
}

// statusOf returns the policy of a pair after it selected a tag.
func (o *observer) statusOf(pair int, tag string) *v1.ImagePolicy {
	policy := &v1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("app-%05d", pair)}}
	policy.Status.LatestRef = &v1.ImageRef{Name: "app", Tag: tag, Digest: o.registryOf(pair).digestOf(repositoryOf(pair), tag)}
	return policy
}

// tagWhere returns the first tag that matches.
func tagWhere(match func(tag string) bool) string {
	for i := range churnTags {
		if tag := versionOf(i); match(tag) {
			return tag
		}
	}
	return ""
}

func TestObserver_ReportsWrongStatuses(t *testing.T) {
	incomplete := func(tag string) bool { return len(platformsOf(tag)) == 1 }
	good := tagWhere(func(tag string) bool { return !incomplete(tag) && isSigned(tag) })
	for name, tc := range map[string]struct {
		change  func(o *observer, before, after *v1.ImagePolicy)
		pair    int
		problem string // "" for none
	}{
		"a newer tag":    {func(*observer, *v1.ImagePolicy, *v1.ImagePolicy) {}, 1, ""},
		"another digest": {func(_ *observer, _, after *v1.ImagePolicy) { after.Status.LatestRef.Digest = "sha256:0" }, 1, "the digest of the tag was always"},
		"no ref":         {func(_ *observer, _, after *v1.ImagePolicy) { after.Status.LatestRef = nil }, 1, "lost its ref"},
		"an older tag": {func(o *observer, _, after *v1.ImagePolicy) { *after = *o.statusOf(1, "1.4.0") }, 1,
			"although the registry has both"},
		"an older tag, because the other one is gone": {func(o *observer, before, after *v1.ImagePolicy) {
			*after = *o.statusOf(1, "1.4.0")
			o.registries[0].repositories[repositoryOf(1)] = &repository{tags: []string{"1.4.0"}}
		}, 1, ""},
		"the same previous ref": {func(_ *observer, _, after *v1.ImagePolicy) {
			after.Status.ObservedPreviousRef = after.Status.LatestRef
		}, 1, "the same previous one"},
		"a doubled entry": {func(_ *observer, _, after *v1.ImagePolicy) {
			after.Status.History = []v1.HistoryEntry{{Tag: "1.9.0"}, {Tag: "1.9.0"}}
		}, 1, "two consecutive entries"},
		"an image that the gates allow": {func(o *observer, before, _ *v1.ImagePolicy) { *before = *o.statusOf(0, good) }, 0, ""},
		"an image without a platform":   {func(o *observer, before, _ *v1.ImagePolicy) { *before = *o.statusOf(0, tagWhere(incomplete)) }, 0, "a platform is missing"},
		"an image without a signature":  {func(o *observer, before, _ *v1.ImagePolicy) { *before = *o.statusOf(0, unsigned()) }, 0, "it is not signed"},
		"an image that is still too young": {func(o *observer, before, _ *v1.ImagePolicy) {
			repo := o.registries[0].repository(repositoryOf(0))
			repo.pushed[good] = time.Now()
			*before = *o.statusOf(0, good)
		}, 0, "it is too young"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newTestObserver(t)
			before, after := o.statusOf(1, "1.5.0"), o.statusOf(1, "1.9.0")
			tc.change(o, before, after)
			o.check(before, tc.pair)
			if tc.pair == 1 {
				o.check(after, tc.pair)
			}
			if tc.problem == "" {
				NewWithT(t).Expect(o.problems).To(BeEmpty())
				return
			}
			NewWithT(t).Expect(o.problems).To(ConsistOf(ContainSubstring(tc.problem)))
		})
	}
}

// unsigned returns a tag with all platforms whose image is not signed.
func unsigned() string {
	return tagWhere(func(tag string) bool { return len(platformsOf(tag)) == 2 && !isSigned(tag) })
}

func TestObserver_ReportsRepeatedEventsAboutSelections(t *testing.T) {
	g, o := NewWithT(t), newTestObserver(t)
	send := func(kind, metadata string) {
		body := fmt.Sprintf(`{"involvedObject":{"kind":%q,"name":"app-00001"},"metadata":{%s"image.toolkit.fluxcd.io/tag":"1.5.0"}}`, kind, metadata)
		o.receive(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(body)))
		o.checkEvents()
	}
	const selected = `"image.toolkit.fluxcd.io/reason":"NewTag",`
	o.check(o.statusOf(1, "1.5.0"), 1)
	send("ImagePolicy", selected)
	send("ImagePolicy", "") // a recovery
	send("ImageRepository", selected)
	g.Expect(o.failure()).To(Succeed())
	send("ImagePolicy", selected)
	g.Expect(o.failure()).To(MatchError(ContainSubstring("app-00001 selected 1.5.0 1 times, but there are 2 events")))
}

func TestChange_KeepsLengthOfList(t *testing.T) {
	g, random := NewWithT(t), rand.New(rand.NewPCG(1, 2))
	r := newSyntheticRegistry(1, 1, 0)
	defer r.close()
	r.churn()
	newest := 0
	for range 1000 {
		r.change("team/app-1", random)
		tags := r.tags("team/app-1")
		g.Expect(len(tags)).To(And(BeNumerically(">=", churnTags-churnRemoved), BeNumerically("<=", churnTags)))
		newest = max(newest, numberOf(tags[len(tags)-1]))
	}
	g.Expect(newest).To(BeNumerically(">", 2*churnTags), "tags are pushed")
}
