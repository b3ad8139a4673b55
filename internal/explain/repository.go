// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

func (c *Case) repository(now time.Time) Repository {
	repo := c.Repository
	r := Repository{
		Name:      repo.Name,
		Namespace: repo.Namespace,
		File:      c.RepositoryFile,
		Image:     repo.Spec.Image,
		Suspended: repo.Spec.Suspend,
	}
	if !c.Image.IsZero() {
		r.CanonicalName = c.Image.Canonical()
	}
	if c.Live() {
		r.Ready, r.LastScan = readyOf(repo.Status.Conditions), c.lastScan(now)
	}
	return r
}

// lastScan describes the last scan, and when the next one is due. It assumes that the controller
// stores the tags of the last scan, and ignores the jitter of the interval.
func (c *Case) lastScan(now time.Time) *LastScan {
	last := c.Repository.Status.LastScanResult
	if last == nil {
		return nil
	}
	repo := c.Repository
	stored := scan.Stored{Image: cmp.Or(repo.Status.ObservedImage, repo.Spec.Image), Revision: last.Revision}
	decision := scan.Decide(scan.StateOf(repo, repo.GetRequeueAfter(), stored, now))
	described := &LastScan{
		Time:     last.ScanTime.UTC(),
		Age:      humanDuration(now.Sub(last.ScanTime.Time)),
		Revision: last.Revision,
		TagCount: last.TagCount,
	}
	if reason, due := decision.Due(); due {
		described.Due = string(reason)
	} else {
		described.NextIn = humanDuration(decision.Wait())
	}
	return described
}

func readyOf(conditions []metav1.Condition) *Ready {
	ready := apimeta.FindStatusCondition(conditions, meta.ReadyCondition)
	if ready == nil {
		return nil
	}
	return &Ready{Status: string(ready.Status), Reason: ready.Reason, Message: ready.Message}
}

// humanDuration formats a duration as kubectl does; negative ones as 0.
func humanDuration(d time.Duration) string { return duration.HumanDuration(max(d, 0)) }
