// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// addHistory adds the history of the policy, and how to go back.
func (c *Case) addHistory(r *Result, l Listing, o Options) {
	status := c.Policy.Status
	r.History = &History{Entries: []HistoryEntry{}}
	for _, entry := range status.History {
		described := HistoryEntry{HistoryEntry: entry}
		if entry.SelectedAt != nil {
			described.Age = humanDuration(o.Now.Sub(entry.SelectedAt.Time))
		}
		r.History.Entries = append(r.History.Entries, described)
	}
	switch {
	case len(status.History) > 0:
	case status.LatestRef == nil:
		r.Note(NoteNoHistory, "status.history has no entries: the policy selected no image yet")
	default:
		r.Note(NoteNoHistory, "status.history has no entries: the next change of the latest image begins it; "+
			"if it stays empty after that, the CRDs are older than the controller: update them")
	}
	if to := previousImage(status); to != nil {
		r.History.Rollback = c.rollback(to, l, *o.GateResults)
	}
}

// previousImage returns the image before the latest one; nil if it is not known. If only the
// reflection of the digest changed, the image is the same.
func previousImage(status v1.ImagePolicyStatus) *v1.ImageRef {
	latest := status.LatestRef
	if latest == nil {
		return nil
	}
	differs := func(name, tag, digest string) bool {
		return name != latest.Name || tag != latest.Tag || digest != latest.Digest && digest != "" && latest.Digest != ""
	}
	for _, e := range status.History {
		if differs(e.Name, e.Tag, e.Digest) {
			return &v1.ImageRef{Name: e.Name, Image: e.Name, Tag: e.Tag, Digest: e.Digest}
		}
	}
	previous := status.ObservedPreviousRef
	if len(status.History) > 0 || previous == nil || !differs(previous.Name, previous.Tag, previous.Digest) {
		return nil
	}
	return previous
}

// rollback returns how the policy selects an image again.
func (c *Case) rollback(to *v1.ImageRef, l Listing, results GateResults) *Rollback {
	back := &Rollback{To: to}
	exclude, problem := c.excludeFor(to, l, results)
	if problem != "" {
		back.Message = problem
		return back
	}
	back.Exclude, back.Command = exclude, c.patchCommand(exclude)
	var notes []string
	if _, evaluated := results.verdictOn(to.Tag); c.Policy.Spec.HasGates() && !evaluated {
		notes = append(notes, fmt.Sprintf("whether %s passes the gates is not known: --gates --tag %s evaluates it", to.Tag, to.Tag))
	}
	if len(exclude) > 0 { // otherwise the command removes earlier exclusions
		notes = append(notes, fmt.Sprintf("a tag that ranks above %s and is pushed later will be selected: "+
			"to prevent that, suspend the policy once it has selected %s", to.Tag, to.Tag))
	}
	back.Message = strings.Join(notes, "; ")
	return back
}

// excludeFor returns the value of spec.exclude with which the policy selects an image: the present
// items, except the tag itself, and all tags that rank above it. Otherwise it returns why none does,
// and what else to do.
func (c *Case) excludeFor(to *v1.ImageRef, l Listing, results GateResults) ([]string, string) {
	if problem := c.notByExclude(to, l); problem != "" {
		return nil, problem
	}
	allowed, exclude, err := c.allowing(to.Tag)
	if err != nil {
		return nil, "the policy is invalid: correct it first: " + err.Error()
	}
	if problem := allowed.notSelectable(to.Tag, l, results); problem != "" {
		return nil, problem
	}
	for choice := range allowed.Ranking(l) {
		if choice.Tag == to.Tag {
			break
		}
		exclude = append(exclude, choice.Tag)
	}
	switch {
	case len(exclude) > v1.MaxExclude:
		return nil, fmt.Sprintf("spec.exclude would need %d items, and takes %d: narrow spec.policy or spec.filterTags, so that %s ranks first",
			len(exclude), v1.MaxExclude, to.Tag)
	case !slices.Equal(exclude, c.Policy.Spec.Exclude):
		return exclude, ""
	case c.Policy.Spec.Suspend:
		return nil, to.Tag + " ranks first already, but the policy is suspended: set spec.suspend to false"
	}
	return nil, to.Tag + " ranks first already: the next reconcile selects it, unless a gate rejects it"
}

// notByExclude returns why spec.exclude can't make the policy select an image, and what else can.
func (c *Case) notByExclude(to *v1.ImageRef, l Listing) string {
	switch latest := c.Policy.Status.LatestRef; {
	case to.Name != c.Repository.Spec.Image:
		return fmt.Sprintf("it is of another image: set spec.imageRepositoryRef of the policy to an ImageRepository of %s, "+
			"or set spec.image of ImageRepository '%s/%s' back if that was changed", to.Name, c.Repository.Namespace, c.Repository.Name)
	case to.Tag == latest.Tag:
		return fmt.Sprintf("the tag %s was moved, and spec.exclude takes tags, not digests: push %s@%s under that tag again, "+
			"or exclude %s to select another tag", to.Tag, to.Name, to.Digest, to.Tag)
	case c.timesUnknown && c.rule.Times() == v1.TimeCreated:
		return "which tags rank above it is not known without the creation times of the images: add --gates, which reads them"
	case c.timesUnknown:
		return fmt.Sprintf("which tags rank above it is not known here, because only the controller records when it first saw the tags: "+
			"add %s to spec.exclude, and repeat that with what the policy selects then, until it selects %s", latest.Tag, to.Tag)
	case l.Partial:
		return "which tags rank above it is not known from the status: leave --from-status out to list the tags in the registry"
	}
	return ""
}

// allowing returns the case without a tag in spec.exclude, and the remaining items.
func (c *Case) allowing(tag string) (*Case, []string, error) {
	kept := slices.DeleteFunc(slices.Clone(c.Policy.Spec.Exclude), func(item string) bool { return item == tag })
	allowed := *c
	allowed.Policy = c.Policy.DeepCopy()
	allowed.Policy.Spec.Exclude = kept
	err := allowed.Compile()
	if err == nil && c.created != nil {
		allowed.ProvideCreated(c.created)
	}
	return &allowed, kept, err
}

// notSelectable returns why a policy does not select a tag even if all others are excluded.
func (c *Case) notSelectable(tag string, l Listing, results GateResults) string {
	rejected := c.rejection(tag)
	unranked := slices.ContainsFunc(l.Tags, func(listed string) bool { return c.isUnranked(listed, c.rejection(listed).Cause) })
	verdict, evaluated := results.verdictOn(tag)
	switch {
	case unranked:
		return "which tags rank above it is not known here: some of the images do not state when they were created"
	case rejected.Cause == selection.CauseReferrer, rejected.Cause != "" && rejected.Cause != CauseExcluded:
		return fmt.Sprintf("%s %s: change spec.policy or spec.filterTags so that it is a candidate", tag, rejected.Reason)
	case rejected.Cause == CauseExcluded:
		return fmt.Sprintf("%s is excluded by %s of the ImageRepository: change that item first", tag, c.itemText(rejected.Item))
	case tag != l.Unlisted && !slices.Contains(l.Tags, tag):
		return fmt.Sprintf("%s is not in the registry anymore: push it again", tag)
	case evaluated && admission.Blocks(verdict.Verdict):
		return fmt.Sprintf("%s does not pass the gates: %s", tag, VerdictText(verdict.Verdict, verdict.Gate, verdict.Message))
	}
	return ""
}

// patchCommand returns the command that sets spec.exclude. Names and tags need no quotes.
func (c *Case) patchCommand(exclude []string) string {
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"exclude": exclude}})
	if err != nil {
		return "" // a list of strings can always be encoded
	}
	return fmt.Sprintf("kubectl patch imagepolicy %s -n %s --type merge -p '%s'", c.Policy.Name, c.Policy.Namespace, patch)
}
