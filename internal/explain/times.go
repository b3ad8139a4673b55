// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"maps"
	"slices"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// Times returns which times the policy compares; empty if it compares none.
func (c *Case) Times() v1.TimeSource { return c.rule.Times() }

// Timed returns the tags whose times are compared: those that are not excluded and match the
// filter.
func (c *Case) Timed(tags []string) []string {
	return slices.DeleteFunc(c.exclusions.AppendRemaining(nil, tags), func(tag string) bool { return !c.rule.MatchesFilter(tag) })
}

// ProvideCreated sets the creation times of images, by tag. Images that do not state one stay
// unranked: the controller orders them by when it first saw the tag, which is not known here.
func (c *Case) ProvideCreated(created map[string]admission.ImageInfo) {
	c.timesUnknown, c.created = false, created
	c.rule = c.rule.WithTimes(func(tag string) (int64, string) {
		switch info := created[tag]; {
		case info.Digest == "":
			return 0, "is listed, but the registry has no image for it"
		case info.Created > 0:
			return info.Created, ""
		default:
			return 0, "has an image that does not state when it was created, and is ordered by when the controller first saw it"
		}
	})
}

// SelectFromStatus makes a policy that compares times select the tag in the status, since the times
// are not known. Without a status, it returns an error that names what is needed.
func (c *Case) SelectFromStatus() error {
	if c.rule.Times() == "" {
		return nil
	}
	if !c.Live() {
		return c.timesMissing()
	}
	c.timesUnknown = true
	ref := c.Policy.Status.LatestRef
	c.rule = c.rule.WithTimes(func(tag string) (int64, string) {
		if ref != nil && ref.Name == c.Repository.Spec.Image && ref.Tag == tag {
			return 1, ""
		}
		return 0, "is compared by a time that is not known here"
	})
	return nil
}

func (c *Case) timesMissing() error {
	policy := objectTitle(v1.ImagePolicyKind, c.Policy.Namespace, c.Policy.Name, c.PolicyFile)
	if c.rule.Times() == v1.TimeFirstSeen {
		return fmt.Errorf("%s: policy.newest compares when the controller first saw the tags, which neither files nor the registry contain: "+
			"leave --filename out to read the selected tag from a cluster", policy)
	}
	return fmt.Errorf("%s: policy.newest compares when the images were created, which takes a request or two for each of them: "+
		"add --gates, which reads that from the registry, and leave --tags out", policy)
}

// noteTimes notes the sources of the times, or that they are not known.
func (c *Case) noteTimes(r *Result, ranked []selection.Choice) {
	if !c.timesUnknown {
		c.noteSources(r, ranked)
		return
	}
	if c.rule.Times() == v1.TimeFirstSeen {
		r.Note(NoteTimesUnknown, "only the controller records when it first saw the tags: the selected tag is the one in the status, "+
			"and the rank of the other tags is not known here")
		return
	}
	r.Note(NoteTimesUnknown, "the creation times of the images were not read: the selected tag is the one in the status, "+
		"and --gates reads the times of all %d tags, with a request or two for each", r.Tags.Unranked+r.Tags.Candidates)
}

// noteSources notes the sources of the creation times.
func (c *Case) noteSources(r *Result, ranked []selection.Choice) {
	tags := map[admission.CreatedBy][]string{}
	for _, choice := range ranked {
		if info, found := c.created[choice.Tag]; found {
			tags[info.CreatedBy] = append(tags[info.CreatedBy], choice.Tag)
		}
	}
	for _, by := range slices.Sorted(maps.Keys(tags)) {
		r.Note(NoteTimesFrom, "%s, such as %s: the time of creation is according to %s", Plural(len(tags[by]), "candidate"), tags[by][0], by)
	}
	if r.Tags.Unranked > 0 {
		r.Note(NoteTimesUnknown, "%s with an image that does not state when it was created: "+
			"ordered by when the controller first saw the tag, which only the controller records, and not ranked here",
			Plural(r.Tags.Unranked, "candidate"))
	}
}

// isUnranked reports whether only the controller has a time for a tag rejected for this cause.
func (c *Case) isUnranked(tag string, cause Cause) bool {
	if cause != selection.CauseNoTime {
		return false
	}
	info := c.created[tag]
	return c.timesUnknown || info.Created == admission.CreatedUnstated && info.Digest != ""
}

// isRankUnknown reports whether ref, the image in the status, is unranked.
func (c *Case) isRankUnknown(ref *v1.ImageRef) bool {
	return ref != nil && ref.Name == c.Repository.Spec.Image && c.isUnranked(ref.Tag, c.rule.Evaluate(ref.Tag).Cause)
}
