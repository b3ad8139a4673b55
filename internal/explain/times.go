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

// Times returns which times the policy compares, none for most.
func (c *Case) Times() v1.TimeSource { return c.rule.Times() }

// Timed returns the tags whose times are compared: those that a scan would keep, and
// the filter lets through.
func (c *Case) Timed(tags []string) []string {
	return slices.DeleteFunc(c.exclusions.AppendRemaining(nil, tags), func(tag string) bool { return !c.rule.Considers(tag) })
}

// ProvideCreated has tags compared by when their images were created, which facts tell. When
// the controller first saw those that do not state it, is not known here.
func (c *Case) ProvideCreated(facts map[string]admission.ImageInfo) {
	c.needsNoTimes, c.created = false, facts
	c.rule = c.rule.WithTimes(func(tag string) (int64, string) {
		switch fact := facts[tag]; {
		case fact.Digest == "":
			return 0, "is listed, but the registry has no image for it"
		case fact.Created > 0:
			return fact.Created, ""
		default:
			return 0, "has an image that does not state when it was created, and is ordered by when the controller first saw it"
		}
	})
}

// ProvideStatus has the tag selected that the status names, where no times are known
// by which others could be compared with it. Where there is no status that could
// say so, it fails with an error that says what is needed.
func (c *Case) ProvideStatus() error {
	if c.rule.Times() == "" {
		return nil
	}
	if !c.Live() {
		return c.timesMissing()
	}
	c.needsNoTimes = true
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
	of := title(v1.ImagePolicyKind, c.Policy.Namespace, c.Policy.Name, c.PolicyFile)
	if c.rule.Times() == v1.TimeFirstSeen {
		return fmt.Errorf("%s: policy.newest compares when the controller first saw the tags, which no file and no registry says: "+
			"leave --filename out to read what a cluster has selected", of)
	}
	return fmt.Errorf("%s: policy.newest compares when the images were created, which takes a request or two for each of them: "+
		"add --gates, which reads that from the registry, and leave --tags out", of)
}

// noteTimes notes by what the candidates are ordered, and what can't be told without times.
func (c *Case) noteTimes(r *Result, ranked []selection.Choice) {
	if !c.needsNoTimes {
		c.noteSources(r, ranked)
		return
	}
	if c.rule.Times() == v1.TimeFirstSeen {
		r.Note(NoteTimesUnknown, "when the tags were first seen is known to the controller only: what is selected is what its status says, "+
			"and how the other tags rank can't be told here")
		return
	}
	r.Note(NoteTimesUnknown, "when the images were created was not read: what is selected is what the status says, "+
		"and --gates reads the times of all %d tags, with a request or two for each", r.Tags.Unranked+r.Tags.Candidates)
}

// noteSources notes from which sources the times of creation are.
func (c *Case) noteSources(r *Result, ranked []selection.Choice) {
	tags := map[admission.CreatedBy][]string{}
	for _, choice := range ranked {
		if fact, known := c.created[choice.Tag]; known {
			tags[fact.CreatedBy] = append(tags[fact.CreatedBy], choice.Tag)
		}
	}
	for _, by := range slices.Sorted(maps.Keys(tags)) {
		r.Note(NoteTimesFrom, "%s, such as %s: the time of creation is according to %s", Count(len(tags[by]), "candidate"), tags[by][0], by)
	}
	if r.Tags.Unranked > 0 {
		r.Note(NoteTimesUnknown, "%s with an image that does not state when it was created: "+
			"ordered by when the controller first saw the tag, which is known to the controller only, and not ranked here",
			Count(r.Tags.Unranked, "candidate"))
	}
}

// isUnranked reports whether a tag that has no time here has one for the controller.
func (c *Case) isUnranked(tag string, cause Cause) bool {
	if cause != selection.CauseNoTime {
		return false
	}
	fact := c.created[tag]
	return c.needsNoTimes || fact.Created == admission.CreatedUnsaid && fact.Digest != ""
}

// isRankUnknown reports whether the image of the status is one whose rank is not known here.
func (c *Case) isRankUnknown(ref *v1.ImageRef) bool {
	return ref != nil && ref.Name == c.Repository.Spec.Image && c.isUnranked(ref.Tag, c.rule.Judge(ref.Tag).Cause)
}
