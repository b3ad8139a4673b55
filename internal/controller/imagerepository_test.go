// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// scan works on the repository and settles the outcome.
func (w *world) scan() (conditions.Result, error) {
	before := w.repo.DeepCopy()
	result, err := w.repositories.Work(context.Background(), w.repo, noBegin)
	conditions.Apply(before, w.repo, result, err, time.Now())
	return result, err
}

// scans expects a scan to succeed.
func (w *world) scans(g Gomega) {
	g.Expect(w.scan()).Error().NotTo(HaveOccurred())
}

func TestScan(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	w.tags = []string{"1.0.0", "1.0.1", "sha256-ab.sig", "sha256-" + strings.Repeat("0a", 32), "1.0.0"}
	result, err := w.scan()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(result.After).To(Equal(time.Hour))
	status := w.repo.Status
	g.Expect(status.LastScanResult.TagCount).To(Equal(2), "duplicates, excluded tags and those of referrers don't count")
	g.Expect(status.LastScanResult.LatestTags).To(Equal([]string{"1.0.1", "1.0.0"}))
	g.Expect(status.ObservedImage).To(Equal("ghcr.io/org/app"))
	g.Expect(status.CanonicalImageName).To(Equal("ghcr.io/org/app"))
	g.Expect(status.ObservedExclusionList).To(Equal([]string{v1.DefaultExclusion}))
	g.Expect(result.Message).To(Equal("successful scan: found 2 tags with checksum " + status.LastScanResult.Revision))

	g.Expect(w.store.Get(context.Background(), storeKey(w.repo))).To(HaveField("Tags", Equal([]string{"1.0.0", "1.0.1"})))

	again, err := w.scan()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(w.asked()).To(Equal([]string{"list"}), "the second was not due")
	g.Expect(again.Message).To(Equal(result.Message))
	g.Expect(again.After).To(And(BeNumerically(">", 59*time.Minute), BeNumerically("<=", time.Hour)))
}

func TestWhatMakesAScanDue(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*world)
		known  bool // the list is worth comparing with the one before
	}{
		{"a request", func(w *world) { w.repo.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"} }, true},
		{"another image", func(w *world) { w.repo.Spec.Image = "ghcr.io/org/other" }, false},
		{"another exclusion list", func(w *world) { w.repo.Spec.ExclusionList = []string{"rc"} }, false},
		{"a store that was lost", (*world).loseTags, false},
		{"a store with other tags than the status tells of", func(w *world) { w.repo.Status.LastScanResult.Revision = "older" }, false},
		{"a scan that failed", func(w *world) { w.repo.Status.Conditions[0].Status = metav1.ConditionFalse }, true},
		{"time", func(w *world) { w.repo.Status.LastScanResult.ScanTime = metav1.NewTime(time.Now().Add(-time.Hour)) }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := NewWithT(t)
			w := newWorld(t)
			w.tags = []string{"1.0.0"}
			g.Expect(w.scan()).Error().NotTo(HaveOccurred())
			tc.change(w)
			g.Expect(w.scan()).Error().NotTo(HaveOccurred())
			asked := []string{"list", "list"}
			if tc.known {
				asked = append(asked, "unchanged")
			}
			g.Expect(w.asked()).To(Equal(asked))
			g.Expect(w.scan()).Error().NotTo(HaveOccurred())
			g.Expect(w.asked()).To(BeEmpty(), "one scan is enough")
		})
	}
}

func TestAnUnchangedListOnlyMovesTheTimeOfTheScan(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	w.tags = []string{"1.0.0", "1.1.0"}
	w.scans(g)
	hourAgo := metav1.NewTime(time.Now().Add(-time.Hour))
	w.repo.Status.LastScanResult.ScanTime = hourAgo
	before := w.repo.DeepCopy()
	result, err := w.scan()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(w.asked()).To(Equal([]string{"list", "list", "unchanged"}))
	g.Expect(result.After).To(Equal(time.Hour))
	g.Expect(result.Message).To(HavePrefix("successful scan: found 2 tags with checksum sha256:"))
	g.Expect(w.repo.Status.LastScanResult.ScanTime.After(hourAgo.Time)).To(BeTrue())
	w.repo.Status.LastScanResult.ScanTime = hourAgo
	g.Expect(w.repo.Status).To(Equal(before.Status), "nothing else")
}

func TestAnotherObjectKnowsNoList(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	w.tags = []string{"1.0.0"}
	w.scans(g)
	w.repo.UID = "another"
	w.scans(g)
	g.Expect(w.asked()).To(Equal([]string{"list", "list"}))
	g.Expect(w.repositories.Forget(context.Background(), types.NamespacedName{Namespace: "ns", Name: "app"})).To(Succeed())
	g.Expect(w.repositories.lists.values).To(BeEmpty())
}

func TestAFailedScanLosesNothing(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	w.tags = []string{"1.0.0"}
	w.scans(g)
	before := w.repo.DeepCopy()

	w.down = errors.New("registry down")
	w.repo.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	_, err := w.scan()
	g.Expect(err).To(MatchError(w.down))
	g.Expect(w.repo.Status.LastScanResult).To(Equal(before.Status.LastScanResult))
	g.Expect(w.store.Get(context.Background(), storeKey(w.repo))).To(HaveField("Tags", Equal([]string{"1.0.0"})))
}

func TestSavedTagsThatTheStatusWontShowAreTold(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	var told []types.NamespacedName
	w.repositories.Saved = func(_ context.Context, name types.NamespacedName) { told = append(told, name) }
	w.tags = []string{"1.0.0"}
	w.scans(g)
	g.Expect(told).To(BeEmpty(), "the new revision tells it")

	w.loseTags()
	w.scans(g)
	g.Expect(told).To(ConsistOf(types.NamespacedName{Namespace: "ns", Name: "app"}), "the revision is the same")

	told = nil
	stale := scan.Next(scan.Snapshot{}, w.repo.Spec.Image, []string{"0.9.0"}, time.Now())
	g.Expect(w.store.Put(context.Background(), storeKey(w.repo), stale)).To(Succeed())
	w.scans(g)
	g.Expect(told).To(HaveLen(1), "stale tags were replaced, and the revision is the same")
}

// TestSlowExclusionsEndWithTheTimeout shows that an exclusion list can't hold a
// worker for hours.
func TestSlowExclusionsEndWithTheTimeout(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	w.repo.Spec.Timeout = &metav1.Duration{Duration: time.Second}
	w.repo.Spec.ExclusionList = []string{"(x*a?x*a?){500}!"} // takes milliseconds for each tag
	for i := range 20_000 {
		w.tags = append(w.tags, fmt.Sprintf("%0100d", i)+strings.Repeat("a", 20))
	}
	start := time.Now()
	_, err := w.scan()
	g.Expect(err).To(MatchError(ContainSubstring("simplify its regular expressions")))
	g.Expect(time.Since(start)).To(BeNumerically("<", 10*time.Second))
}

func TestWhatStallsARepository(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	w.repo.Spec.Image = "https://ghcr.io/org/app"
	_, err := w.scan()
	stalled, ok := errors.AsType[*conditions.StalledError](err)
	g.Expect(ok).To(BeTrue())
	g.Expect(stalled.Reason).To(Equal(v1.ImageURLInvalidReason))

	w.repo.Spec.Image, w.repo.Spec.ExclusionList = "ghcr.io/org/app", []string{"("}
	_, err = w.scan()
	_, ok = errors.AsType[*conditions.StalledError](err)
	g.Expect(ok).To(BeTrue())
	g.Expect(err).To(MatchError(ContainSubstring("spec.exclusionList[0]")))
	g.Expect(w.asked()).To(BeEmpty())
}

func TestSweep(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	w.scanned(g, "1.0.0")
	gone := store.Key{Namespace: "ns", Name: "app", UID: "older"}
	snapshot, err := w.store.Get(context.Background(), storeKey(w.repo))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(w.store.Put(context.Background(), gone, snapshot)).To(Succeed())

	sweep := &storeCleaner{reader: newReader(t, w.repo), store: w.store}
	g.Expect(sweep.Start(context.Background())).To(Succeed())
	g.Expect(w.store.Keys(context.Background())).To(ConsistOf(storeKey(w.repo)))
}

func TestTheTagsOfAnOlderObjectOfTheSameNameAreDropped(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	w.tags = []string{"1.0.0"}
	w.scans(g)
	w.repo.UID, w.repo.Status = "again", v1.ImageRepositoryStatus{}
	w.scans(g)
	g.Expect(w.store.Keys(context.Background())).To(ConsistOf(storeKey(w.repo)))
}

func TestIntervalsAndTimeoutsAreBounded(t *testing.T) {
	g := NewWithT(t)
	repo := &v1.ImageRepository{}
	g.Expect(repo.GetRequeueAfter()).To(Equal(time.Second), "no interval keeps a registry busy")
	repo.Spec.Interval.Duration = time.Minute
	g.Expect(repo.GetTimeout()).To(Equal(time.Minute))
	repo.Spec.Interval.Duration = 24 * time.Hour
	g.Expect(repo.GetTimeout()).To(Equal(v1.MaxDefaultTimeout), "a hanging registry takes up no worker for a day")
	repo.Spec.Timeout = &metav1.Duration{Duration: time.Hour}
	g.Expect(repo.GetTimeout()).To(Equal(time.Hour), "but its author may have it so")
}

// counted keeps how scans ended.
type counted []string

func (c *counted) Observe(_ image.Name, outcome string, took time.Duration) {
	if took == 0 {
		outcome += " at the door"
	}
	*c = append(*c, outcome)
}

func TestScansAreCounted(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	var scans counted
	w.repositories.Scans = &scans
	once := func() string {
		w.repo.Annotations = map[string]string{meta.ReconcileRequestAnnotation: time.Now().String()}
		scans = nil
		_, _ = w.scan() // an error shows in what is counted
		return strings.Join(scans, ", ")
	}
	w.tags = []string{"1.0.0"}
	g.Expect(once()).To(Equal("changed"))
	g.Expect(once()).To(Equal("unchanged"), "the registry says so")
	w.tags = []string{"1.0.0", "0-ab.sig"}
	g.Expect(once()).To(Equal("unchanged"), "the tags are the same in another list")
	w.down = errors.New("out of order")
	g.Expect(once()).To(Equal("Failure"))
	w.busy = &ratelimit.BusyError{After: time.Second}
	g.Expect(once()).To(BeEmpty(), "it is still to come")
	w.busy = errors.New("a pause")
	g.Expect(once()).To(Equal("Failure at the door"))
	w.busy, w.down, w.repo.Spec.Image = nil, nil, "https://ghcr.io/org/app"
	g.Expect(once()).To(BeEmpty(), "there is no host to scan")
}
