// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

func TestStored_MatchesLastScan(t *testing.T) {
	for _, tt := range []struct {
		reason   string
		stored   Stored
		observed string
		scanned  bool
		want     bool
	}{
		{"the tags of the last scan", Stored{"ghcr.io/org/app", "r1"}, "ghcr.io/org/app", true, true},
		{"nothing is stored", Stored{}, "ghcr.io/org/app", true, false},
		{"nothing is stored or observed", Stored{}, "", true, false},
		{"older tags", Stored{"ghcr.io/org/app", "r0"}, "ghcr.io/org/app", true, false},
		{"the tags of another image", Stored{"ghcr.io/org/old", "r1"}, "ghcr.io/org/app", true, false},
		{"the CRD has no field for the observed image", Stored{"ghcr.io/org/app", "r1"}, "", true, true},
		{"there was no scan", Stored{"ghcr.io/org/app", "r1"}, "ghcr.io/org/app", false, false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			repo := &v1.ImageRepository{Status: v1.ImageRepositoryStatus{ObservedImage: tt.observed}}
			if tt.scanned {
				repo.Status.LastScanResult = &v1.ScanResult{Revision: "r1"}
			}
			NewWithT(t).Expect(tt.stored.MatchesLastScan(repo)).To(Equal(tt.want))
		})
	}
}

func TestStateOf_CopiesSpecAndStatus(t *testing.T) {
	g := NewWithT(t)
	now := time.Unix(1_000, 0)
	repo := &v1.ImageRepository{Spec: v1.ImageRepositorySpec{Image: "ghcr.io/org/app", ExclusionList: []string{"a"}}}
	state := StateOf(repo, time.Minute, Stored{}, now)
	g.Expect(state).To(Equal(State{Now: now, Interval: time.Minute, Image: "ghcr.io/org/app", Exclusions: []string{"a"}, Failing: true}))

	repo.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	repo.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue}}
	repo.Status.ObservedImage, repo.Status.ObservedExclusionList = "ghcr.io/org/old", []string{"b"}
	repo.Status.LastScanResult = &v1.ScanResult{Revision: "r1", ScanTime: metav1.NewTime(now)}
	g.Expect(StateOf(repo, time.Minute, Stored{"ghcr.io/org/old", "r1"}, now)).To(Equal(State{
		Now: now, Interval: time.Minute, LastScan: now, Stored: true, Requested: true,
		Image: "ghcr.io/org/app", ObservedImage: "ghcr.io/org/old",
		Exclusions: []string{"a"}, ObservedExclusions: []string{"b"},
	}))
	repo.Status.LastHandledReconcileAt = "now"
	g.Expect(StateOf(repo, time.Minute, Stored{}, now).Requested).To(BeFalse(), "the request was handled")
}
