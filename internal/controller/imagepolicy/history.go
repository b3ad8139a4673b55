// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"encoding/json"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// maxHistoryBytes is the maximum size of the history as JSON.
const maxHistoryBytes = 4096

// change is a selection that may change the latest image of a policy.
type change struct {
	policy *v1.ImagePolicy // its status has the refs before the change, and the candidates after it
	ref    *v1.ImageRef    // the selected image
	rule   *selection.Rule
	source tagSource
	// info is what is known about the selected image, zero if that is nothing.
	info admission.ImageInfo
	// candidates are those of the evaluation before.
	candidates []v1.CandidateStatus
}

// selection returns the cause of the change, and what the selected image states about its source
// code. What is known about another digest does not count.
func (c change) selection() conditions.Selection {
	origin := c.info.Origin()
	if c.ref.Digest != "" && c.ref.Digest != c.info.Digest {
		origin = admission.Origin{}
	}
	return conditions.Selection{Cause: c.cause(), Revision: origin.Revision, Source: origin.Source}
}

// cause returns why the latest image changed. If several causes apply, it returns the first one in
// the order of the table in docs/spec/v1/imagepolicies.md.
func (c change) cause() v1.SelectionCause {
	old := c.policy.Status.LatestRef
	switch {
	case old == nil:
		return v1.SelectedInitial
	case old.Name != c.ref.Name:
		return v1.SelectedImageChanged
	case specChanged(c.policy), old.Tag == c.ref.Tag && (old.Digest == "") != (c.ref.Digest == ""):
		return v1.SelectedPolicyChanged
	case c.wasStopped(old):
		return v1.SelectedGatePassed
	case old.Tag == c.ref.Tag:
		return v1.SelectedDigestMoved
	case c.rule.Evaluate(old.Tag).Accepted() && c.rule.Compare(c.ref.Tag, old.Tag) > 0:
		return v1.SelectedNewTag
	case c.isGone(old.Tag):
		return v1.SelectedTagGone
	default:
		return v1.SelectedPolicyChanged
	}
}

// specChanged reports whether the spec changed since it last selected the current image. The
// observed generation alone does not suffice: a failed reconcile updates it, too.
func specChanged(policy *v1.ImagePolicy) bool {
	selected := policy.Status.ObservedGeneration
	if h := policy.Status.History; len(h) > 0 && h[0].Generation != 0 && h[0].IsOf(policy.Status.LatestRef) {
		selected = h[0].Generation
	}
	return selected != policy.Generation
}

// wasStopped reports whether the selected image was a candidate before that did not pass the gates.
// If the tag stays the same, only the verdict on the same digest counts.
func (c change) wasStopped(old *v1.ImageRef) bool {
	return slices.ContainsFunc(c.candidates, func(b v1.CandidateStatus) bool {
		return b.Tag == c.ref.Tag && b.Verdict != v1.CandidatePassed && (old.Tag != c.ref.Tag || b.Digest == c.ref.Digest)
	})
}

// isGone reports whether the registry does not have a tag anymore, or has no image for it. A tag
// that the ImageRepository excludes is not gone.
func (c change) isGone(tag string) bool {
	if c.source.snapshot.Has(tag) {
		return slices.ContainsFunc(c.policy.Status.Candidates, func(now v1.CandidateStatus) bool {
			return now.Tag == tag && now.Gate == v1.GateDigest
		})
	}
	exclusions, err := scan.CompileExclusions(c.source.repo.GetExclusionList())
	return err == nil && !exclusions.Excludes(tag)
}

// entry returns the entry of the history about the selected image.
func (c change) entry(cause v1.SelectionCause, now time.Time) v1.HistoryEntry {
	at := metav1.NewTime(now).Rfc3339Copy()
	return v1.HistoryEntry{
		Name: c.ref.Name, Tag: c.ref.Tag, Digest: c.ref.Digest, SelectedAt: &at, Reason: cause, Generation: c.policy.Generation,
	}
}

// addHistory adds an entry to the history. The current image is added below it, without time and
// reason, if another version of the controller selected it. The oldest entries are dropped if there
// are too many, or if their JSON is too large.
func addHistory(status *v1.ImagePolicyStatus, entry v1.HistoryEntry) {
	history := []v1.HistoryEntry{entry}
	if ref := status.LatestRef; ref != nil && (len(status.History) == 0 || !status.History[0].IsOf(ref)) {
		history = append(history, v1.HistoryEntry{Name: ref.Name, Tag: ref.Tag, Digest: ref.Digest})
	}
	history = append(history, status.History...)
	history = history[:min(len(history), v1.MaxHistory)]
	for len(history) > 0 && jsonSize(history) > maxHistoryBytes {
		history = history[:len(history)-1]
	}
	status.History = history
}

func jsonSize(history []v1.HistoryEntry) int {
	content, err := json.Marshal(history)
	if err != nil {
		return maxHistoryBytes + 1 // a list that can't be written is dropped
	}
	return len(content)
}

// confirmLatest records that the current generation of the policy selects the current image, too. A
// new generation writes the status anyway.
func confirmLatest(policy *v1.ImagePolicy) {
	if h := policy.Status.History; len(h) > 0 && h[0].IsOf(policy.Status.LatestRef) {
		h[0].Generation = policy.Generation
	}
}
