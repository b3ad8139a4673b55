// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// The reasons of notes.
const (
	NotePartial             = "Partial"
	NoteUnlisted            = "UnlistedTag"
	NoteNothingReflected    = "NothingReflected"
	NoteDiffers             = "StatusDiffers"
	NotePolicySuspended     = "PolicySuspended"
	NotePolicyNotReady      = "PolicyNotReady"
	NotePolicyNotObserved   = "PolicyNotObserved"
	NoteRepositorySuspended = "RepositorySuspended"
	NoteRepositoryNotReady  = "RepositoryNotReady"
	NoteImageReplaced       = "ImageReplaced"
	NoteListChanged         = "ListChanged"
	NoteScanDue             = "ScanDue"
	NoteScanScheduled       = "ScanScheduled"
	NoteDigestMoved         = "DigestMoved"
	NoteDigestUnknown       = "DigestUnknown"
	NoteAccess              = "AccessFrom"
	NoteIdentity            = "Identity"
	NoteMirror              = "Mirror"
	NoteDefaults            = "Defaults"
	NoteTimesUnknown        = "TimesUnknown"
	NoteTimesFrom           = "TimesFrom"
	NoteNotEvaluated        = "NotEvaluated"
	NoteNotAllEvaluated     = "NotAllEvaluated"
	NoteVerdictDiffers      = "VerdictDiffers"
	NoteNotHeldBack         = "NotHeldBack"
	NoteNoHistory           = "NoHistory"
	NotePreviousMoved       = "PreviousMoved"
)

// Note adds a note.
func (r *Result) Note(reason, format string, args ...any) {
	r.Notes = append(r.Notes, Note{Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// Compare compares the result with the status, and notes what may explain a difference. It must be
// called last, when the digest of the selected tag is known.
func (c *Case) Compare(r *Result, l Listing) {
	if l.Unlisted != "" {
		r.Note(NoteUnlisted, "the registry has the tag %s, but its list of tags lacks it: "+
			"such a tag is kept until the registry reports that it does not exist", l.Unlisted)
	}
	c.noteConditions(r)
	ref := c.Policy.Status.LatestRef
	same := sameImage(r.Selected, ref, c.Repository.Spec.Image)
	switch {
	case l.Partial:
		r.Note(NotePartial, "only %d of the %d tags are known from the status: the tag selected here may not be the latest, and the ranking is "+
			"incomplete; leave --from-status out to list the tags in the registry", len(l.Tags), c.Repository.Status.LastScanResult.TagCount)
	case ref == nil:
		r.Note(NoteNothingReflected, "the status of the policy names no image yet")
	case !same && c.isRankUnknown(ref):
		r.Note(NoteDiffers, "the status names %s, whose rank among the others is not known here", ref)
	case !same:
		r.Note(NoteDiffers, "the status names %s, and not %s", ref, selectedImage(r, c.Repository.Spec.Image))
	}
	if !l.Partial && !c.timesUnknown {
		c.noteScan(r, same)
		if same || !c.isRankUnknown(ref) {
			r.Policy.Agrees = new(same && c.noteDigest(r, ref))
		}
	}
}

// selectedImage returns the selected image, or "nothing".
func selectedImage(r *Result, image string) string {
	if r.Selected == nil {
		return "nothing"
	}
	return image + ":" + r.Selected.Tag
}

// sameImage reports whether the status names the selected image.
func sameImage(selected *Candidate, ref *v1.ImageRef, image string) bool {
	if selected == nil || ref == nil {
		return selected == nil && ref == nil
	}
	return ref.Name == image && ref.Tag == selected.Tag
}

// noteConditions notes what prevents the controller from updating the status.
func (c *Case) noteConditions(r *Result) {
	policy, repo := c.Policy, c.Repository
	if policy.Spec.Suspend {
		r.Note(NotePolicySuspended, "the policy is suspended: its status stays as it is until it is resumed")
	} else if policy.Generation > 0 && policy.Status.ObservedGeneration != policy.Generation {
		r.Note(NotePolicyNotObserved, "the controller has not processed the last change of the policy yet")
	}
	if isFalse(r.Policy.Ready) {
		r.Note(NotePolicyNotReady, "the policy is not ready (%s): %s", r.Policy.Ready.Reason, r.Policy.Ready.Message)
	}
	if repo.Spec.Suspend {
		r.Note(NoteRepositorySuspended, "the scans of the repository are suspended: tags pushed since the last scan are not seen")
	}
	if isFalse(r.Repository.Ready) {
		r.Note(NoteRepositoryNotReady, "the repository is not ready (%s): %s", r.Repository.Ready.Reason, r.Repository.Ready.Message)
	}
	if observed := repo.Status.ObservedImage; observed != "" && observed != repo.Spec.Image {
		r.Note(NoteImageReplaced, "the tags of the last scan are those of %s, which was replaced by %s", observed, repo.Spec.Image)
	}
}

func isFalse(ready *Ready) bool { return ready != nil && ready.Status == string(metav1.ConditionFalse) }

// noteScan notes whether the list changed since the last scan, and when the next scan is due.
func (c *Case) noteScan(r *Result, same bool) {
	last := r.Repository.LastScan
	if last == nil {
		return
	}
	changed := r.Tags.Source == FromRegistry && last.Revision != r.Tags.Revision
	if changed {
		r.Note(NoteListChanged, "the list of tags changed since the last scan, which found %d that are not excluded", last.TagCount)
	}
	if same && !changed {
		return
	}
	switch {
	case c.Repository.Spec.Suspend:
	case last.Due != "":
		r.Note(NoteScanDue, "a scan is due: %s", last.Due)
	default:
		r.Note(NoteScanScheduled, "the next scan is due in %s", last.NextIn)
	}
}

// noteDigest notes a difference of the digests, and reports whether they agree.
func (c *Case) noteDigest(r *Result, ref *v1.ImageRef) bool {
	if ref == nil || r.Selected == nil || ref.Digest == "" || r.Selected.Digest == "" || ref.Digest == r.Selected.Digest {
		return true
	}
	why := "the controller checks the digest at every reconcile and every " + humanDuration(c.Policy.GetInterval())
	switch c.Policy.GetDigestReflectionPolicy() {
	case v1.ReflectIfNotPresent:
		why = "digestReflectionPolicy IfNotPresent keeps the digest for as long as image and tag stay the same"
	case v1.ReflectNever:
		why = "with digestReflectionPolicy Never, the next reconcile removes the digest"
	}
	r.Note(NoteDigestMoved, "the tag %s was moved: the status has %s, the registry %s; %s", r.Selected.Tag, ref.Digest, r.Selected.Digest, why)
	return false
}
