// SPDX-License-Identifier: Apache-2.0

package imagerepository

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
)

func TestRecentRevisions_SuppressFlickeringLists(t *testing.T) {
	g := NewWithT(t)
	recent, now := recentRevisions{}, time.Now()
	repo := &v1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "app", UID: "a"}}
	last := ""
	scan := func(revision string) bool {
		repo.Status.LastScanResult = &v1.ScanResult{Revision: revision}
		repeated := recent.record(last, repo, now)
		last = revision
		return repeated
	}
	g.Expect(scan("full")).To(BeFalse(), "the first list")
	g.Expect(scan("full")).To(BeFalse(), "no change")
	g.Expect(scan("short")).To(BeFalse(), "another list")
	for range 10 {
		now = now.Add(50 * time.Minute)
		g.Expect(scan("full")).To(BeTrue(), "alternates")
		g.Expect(scan("short")).To(BeTrue(), "alternates")
	}
	g.Expect(scan("new")).To(BeFalse(), "a new list")
	now = now.Add(revisionTTL + time.Second)
	g.Expect(scan("short")).To(BeFalse(), "it was replaced long ago")

	for i := range 2 * maxRevisions {
		g.Expect(scan(fmt.Sprint(i))).To(BeFalse())
	}
	g.Expect(recent.Get(client.ObjectKeyFromObject(repo)).revisions).To(HaveLen(maxRevisions))
	g.Expect(scan("short")).To(BeFalse(), "the number of revisions is bounded")

	repo.UID = "b"
	g.Expect(scan("new")).To(BeFalse(), "a new object of the same name")
	recent.Forget(client.ObjectKeyFromObject(repo))
	g.Expect(recent.Get(client.ObjectKeyFromObject(repo))).To(BeZero())
}

func TestRecentRevisions_ReportListOfNewGeneration(t *testing.T) {
	g := NewWithT(t)
	recent, now := recentRevisions{}, time.Now()
	repo := &v1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "app", UID: "a"}}
	for generation, revision := range []string{"of one image", "of another", "of one image"} {
		repo.Generation = int64(generation)
		last := conditions.Revision(repo)
		repo.Status.LastScanResult = &v1.ScanResult{Revision: revision}
		g.Expect(recent.record(last, repo, now)).To(BeFalse(), "generation %d", generation)
	}
}

func TestRecentRevisions_ReportRetriedScan(t *testing.T) {
	g := NewWithT(t)
	recent, now := recentRevisions{}, time.Now()
	repo := &v1.ImageRepository{Status: v1.ImageRepositoryStatus{LastScanResult: &v1.ScanResult{Revision: "next"}}}
	g.Expect(recent.record("last", repo, now)).To(BeFalse())
	g.Expect(recent.record("last", repo, now)).To(BeFalse(), "the status of the first attempt could not be written")
}
