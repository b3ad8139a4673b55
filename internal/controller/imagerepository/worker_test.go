// SPDX-License-Identifier: Apache-2.0

package imagerepository

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
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

func TestScan_StoresTagsAndUpdatesStatus(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.tags = []string{"1.0.0", "1.0.1", "sha256-ab.sig", "sha256-" + strings.Repeat("0a", 32), "1.0.0"}
	result, err := f.scan()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(result.After).To(Equal(time.Hour))
	status := f.repo.Status
	g.Expect(status.LastScanResult.TagCount).To(Equal(2), "without duplicates, excluded tags and tags of referrers")
	g.Expect(status.LastScanResult.LatestTags).To(Equal([]string{"1.0.1", "1.0.0"}))
	g.Expect(status.ObservedImage).To(Equal("ghcr.io/org/app"))
	g.Expect(status.CanonicalImageName).To(Equal("ghcr.io/org/app"))
	g.Expect(status.ObservedExclusionList).To(Equal([]string{v1.DefaultExclusion}))
	g.Expect(result.Message).To(Equal("successful scan: found 2 tags with checksum " + status.LastScanResult.Revision))

	g.Expect(f.store.Get(context.Background(), reconcile.StoreKey(f.repo))).To(HaveField("Tags", Equal([]string{"1.0.0", "1.0.1"})))

	again, err := f.scan()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(f.received()).To(Equal([]string{"list"}), "the second scan was not due")
	g.Expect(again.Message).To(Equal(result.Message))
	g.Expect(again.After).To(And(BeNumerically(">", 59*time.Minute), BeNumerically("<=", time.Hour)))
}

func TestScan_RunsOnEachTrigger(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*fixture)
		cached bool // the fingerprint of the previous list is sent
	}{
		{"a reconcile request", func(f *fixture) { f.repo.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"} }, true},
		{"another image", func(f *fixture) { f.repo.Spec.Image = "ghcr.io/org/other" }, false},
		{"another exclusion list", func(f *fixture) { f.repo.Spec.ExclusionList = []string{"rc"} }, false},
		{"an empty store", (*fixture).clearStore, false},
		{"a store that does not match the status", func(f *fixture) { f.repo.Status.LastScanResult.Revision = "older" }, false},
		{"a failed scan", func(f *fixture) { f.repo.Status.Conditions[0].Status = metav1.ConditionFalse }, true},
		{"the interval", func(f *fixture) { f.repo.Status.LastScanResult.ScanTime = metav1.NewTime(time.Now().Add(-time.Hour)) }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := NewWithT(t)
			f := newFixture(t)
			f.tags = []string{"1.0.0"}
			g.Expect(f.scan()).Error().NotTo(HaveOccurred())
			tc.change(f)
			g.Expect(f.scan()).Error().NotTo(HaveOccurred())
			want := []string{"list", "list"}
			if tc.cached {
				want = append(want, "unchanged")
			}
			g.Expect(f.received()).To(Equal(want))
			g.Expect(f.scan()).Error().NotTo(HaveOccurred())
			g.Expect(f.received()).To(BeEmpty(), "one scan is enough")
		})
	}
}

func TestScan_UpdatesOnlyScanTimeIfUnchanged(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.tags = []string{"1.0.0", "1.1.0"}
	f.scans(g)
	hourAgo := metav1.NewTime(time.Now().Add(-time.Hour))
	f.repo.Status.LastScanResult.ScanTime = hourAgo
	before := f.repo.DeepCopy()
	result, err := f.scan()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(f.received()).To(Equal([]string{"list", "list", "unchanged"}))
	g.Expect(result.After).To(Equal(time.Hour))
	g.Expect(result.Message).To(HavePrefix("successful scan: found 2 tags with checksum sha256:"))
	g.Expect(f.repo.Status.LastScanResult.ScanTime.After(hourAgo.Time)).To(BeTrue())
	f.repo.Status.LastScanResult.ScanTime = hourAgo
	g.Expect(f.repo.Status).To(Equal(before.Status), "only the scan time changed")
}

// TestScan_ResizesLatestTags checks that a change of spec.latestTags takes effect from the stored
// tags, without a request, also during a scan that finds an unchanged list.
func TestScan_ResizesLatestTags(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	for i := range 120 {
		f.tags = append(f.tags, fmt.Sprintf("1.0.%d", i))
	}
	f.scans(g)
	latest := func() []string { return f.repo.Status.LastScanResult.LatestTags }
	g.Expect(latest()).To(And(HaveLen(10), HaveExactElements("1.0.119", "1.0.118", "1.0.117", "1.0.116", "1.0.115",
		"1.0.114", "1.0.113", "1.0.112", "1.0.111", "1.0.110")))

	f.repo.Spec.LatestTags = 3
	f.scans(g)
	g.Expect(latest()).To(Equal([]string{"1.0.119", "1.0.118", "1.0.117"}))
	f.repo.Spec.LatestTags = 1000 // stored before admission checked it
	f.scans(g)
	g.Expect(latest()).To(And(HaveLen(100), HaveEach(HavePrefix("1.0."))))
	g.Expect(f.received()).To(Equal([]string{"list"}), "no further request")

	f.repo.Spec.LatestTags = 1
	f.repo.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	f.scans(g)
	g.Expect(latest()).To(Equal([]string{"1.0.119"}))
	g.Expect(f.received()).To(Equal([]string{"list", "unchanged"}))
}

func TestScan_CachesListPerObject(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.tags = []string{"1.0.0"}
	f.scans(g)
	f.repo.UID = "another"
	f.scans(g)
	g.Expect(f.received()).To(Equal([]string{"list", "list"}))
	g.Expect(f.worker.Forget(context.Background(), types.NamespacedName{Namespace: "ns", Name: "app"})).To(Succeed())
	g.Expect(f.worker.lists.Get(types.NamespacedName{Namespace: "ns", Name: "app"})).To(BeZero())
}

func TestScan_KeepsResultOnFailure(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.tags = []string{"1.0.0"}
	f.scans(g)
	before := f.repo.DeepCopy()

	f.down = errors.New("registry down")
	f.repo.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	_, err := f.scan()
	g.Expect(err).To(MatchError(f.down))
	g.Expect(f.repo.Status.LastScanResult).To(Equal(before.Status.LastScanResult))
	g.Expect(f.store.Get(context.Background(), reconcile.StoreKey(f.repo))).To(HaveField("Tags", Equal([]string{"1.0.0"})))
}

func TestScan_NotifiesOfStoredTagsWithSameRevision(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	var saved []types.NamespacedName
	f.worker.NotifyPolicies = func(_ context.Context, name types.NamespacedName) { saved = append(saved, name) }
	f.tags = []string{"1.0.0"}
	f.scans(g)
	g.Expect(saved).To(BeEmpty(), "the new revision triggers the policies")

	f.clearStore()
	f.scans(g)
	g.Expect(saved).To(ConsistOf(types.NamespacedName{Namespace: "ns", Name: "app"}), "the revision is the same")

	saved = nil
	stale := scan.Next(scan.Snapshot{}, f.repo.Spec.Image, []string{"0.9.0"}, time.Now())
	g.Expect(f.store.Put(context.Background(), reconcile.StoreKey(f.repo), stale)).To(Succeed())
	f.scans(g)
	g.Expect(saved).To(HaveLen(1), "stale tags were replaced, but the revision is the same")
}

// TestScan_ExclusionsStopAtTimeout checks that a slow exclusion list can't block a worker for
// hours.
func TestScan_ExclusionsStopAtTimeout(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.repo.Spec.Timeout = &metav1.Duration{Duration: time.Second}
	f.repo.Spec.ExclusionList = []string{"(x*a?x*a?){500}!"} // takes milliseconds for each tag
	for i := range 20_000 {
		f.tags = append(f.tags, fmt.Sprintf("%0100d", i)+strings.Repeat("a", 20))
	}
	start := time.Now()
	_, err := f.scan()
	g.Expect(err).To(MatchError(ContainSubstring("simplify its regular expressions")))
	g.Expect(time.Since(start)).To(BeNumerically("<", 10*time.Second))
}

func TestImageRepository_StallsOnInvalidSpec(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.repo.Spec.Image = "https://ghcr.io/org/app"
	_, err := f.scan()
	stalled, ok := errors.AsType[*conditions.StalledError](err)
	g.Expect(ok).To(BeTrue())
	g.Expect(stalled.Reason).To(Equal(v1.ImageURLInvalidReason))

	f.repo.Spec.Image, f.repo.Spec.ExclusionList = "ghcr.io/org/app", []string{"("}
	_, err = f.scan()
	_, ok = errors.AsType[*conditions.StalledError](err)
	g.Expect(ok).To(BeTrue())
	g.Expect(err).To(MatchError(ContainSubstring("spec.exclusionList[0]")))
	g.Expect(f.received()).To(BeEmpty())
}

func TestScan_DeletesTagsOfReplacedObject(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.tags = []string{"1.0.0"}
	f.scans(g)
	f.repo.UID, f.repo.Status = "again", v1.ImageRepositoryStatus{}
	f.scans(g)
	g.Expect(f.store.Keys(context.Background())).To(ConsistOf(reconcile.StoreKey(f.repo)))
}

func TestImageRepository_BoundsIntervalAndTimeout(t *testing.T) {
	g := NewWithT(t)
	repo := &v1.ImageRepository{}
	g.Expect(repo.GetRequeueAfter()).To(Equal(time.Second), "the interval is at least one second")
	repo.Spec.Interval.Duration = time.Minute
	g.Expect(repo.GetTimeout()).To(Equal(time.Minute))
	repo.Spec.Interval.Duration = 24 * time.Hour
	g.Expect(repo.GetTimeout()).To(Equal(v1.MaxDefaultTimeout), "the default timeout is bounded")
	repo.Spec.Timeout = &metav1.Duration{Duration: time.Hour}
	g.Expect(repo.GetTimeout()).To(Equal(time.Hour), "a longer timeout is allowed")
}

// scanOutcomes records the outcomes of scans.
type scanOutcomes []string

func (s *scanOutcomes) Observe(_ image.Name, outcome string, duration time.Duration) {
	if duration == 0 {
		outcome += " before admission"
	}
	*s = append(*s, outcome)
}

func TestScan_RecordsMetrics(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	var scans scanOutcomes
	f.worker.Scans = &scans
	scanOnce := func() string {
		f.repo.Annotations = map[string]string{meta.ReconcileRequestAnnotation: time.Now().String()}
		scans = nil
		_, _ = f.scan() // the outcome shows the error
		return strings.Join(scans, ", ")
	}
	f.tags = []string{"1.0.0"}
	g.Expect(scanOnce()).To(Equal("changed"))
	g.Expect(scanOnce()).To(Equal("unchanged"), "the registry sends the same list")
	f.tags = []string{"1.0.0", "0-ab.sig"}
	g.Expect(scanOnce()).To(Equal("unchanged"), "another list with the same tags")
	f.down = errors.New("out of order")
	g.Expect(scanOnce()).To(Equal("Failure"))
	f.busy = &ratelimit.BusyError{After: time.Second}
	g.Expect(scanOnce()).To(BeEmpty(), "the scan was postponed")
	f.busy = errors.New("rate limited")
	g.Expect(scanOnce()).To(Equal("Failure before admission"))
	f.busy, f.down, f.repo.Spec.Image = nil, nil, "https://ghcr.io/org/app"
	g.Expect(scanOnce()).To(BeEmpty(), "there is no registry host")
}

func TestWork_BusyRegistryIsDeferred(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.busy = &ratelimit.BusyError{Host: "ghcr.io", After: time.Second}
	f.worker.Auth = func(context.Context, *v1.ImageRepository) (registry.AuthOptions, error) {
		panic("credentials are read only when a request will be sent")
	}
	_, err := f.worker.Work(context.Background(), f.repo, func(string) { panic("no progress is reported before a request") })
	g.Expect(err).To(Equal(conditions.Deferred(time.Second, f.busy)))
	g.Expect(f.received()).To(BeEmpty())
}

func TestWork_ClosesTheRepository(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	for _, down := range []error{nil, errors.New("down")} {
		f.down = down
		f.repo.Annotations = map[string]string{meta.ReconcileRequestAnnotation: fmt.Sprint(down)}
		_, _ = f.scan() // the error does not matter here
		g.Expect(f.open).To(BeZero())
	}
	g.Expect(f.received()).To(HaveLen(2))
}
