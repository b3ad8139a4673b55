/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package explain

import (
	"fmt"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// Times returns which times the policy compares, none for most.
func (c *Case) Times() v1.TimeSource { return c.rule.Times() }

// Timed returns the tags whose times are compared: those that a scan would keep, and
// the filter lets through.
func (c *Case) Timed(tags []string) []string {
	var timed []string
	for _, tag := range c.exclusions.AppendKept(nil, tags) {
		if c.rule.Considers(tag) {
			timed = append(timed, tag)
		}
	}
	return timed
}

// Provide has tags compared by these times.
func (c *Case) Provide(times selection.Times) { c.rule, c.timeless = c.rule.With(times), false }

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
	c.timeless = true
	ref := c.Policy.Status.LatestRef
	c.rule = c.rule.With(func(tag string) (int64, string) {
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

// noteTimes notes what can't be told without times.
func (c *Case) noteTimes(r *Result) {
	if !c.timeless {
		return
	}
	if c.rule.Times() == v1.TimeFirstSeen {
		r.Note(NoteTimesUnknown, "when the tags were first seen is known to the controller only: what is selected is what its status says, "+
			"and how the other tags rank can't be told here")
		return
	}
	r.Note(NoteTimesUnknown, "when the images were created was not read: what is selected is what the status says, "+
		"and --gates reads the times of all %d tags, with a request or two for each", r.Tags.Unranked+len(r.RunnersUp)+selectedCount(r))
}

func selectedCount(r *Result) int {
	if r.Selected == nil {
		return 0
	}
	return 1
}

// ranked parts those tags from the rejected ones of which nobody knows how they rank.
func (c *Case) unranked(rejected []selection.Verdict) ([]selection.Verdict, int) {
	if !c.timeless {
		return rejected, 0
	}
	var rest []selection.Verdict
	for _, v := range rejected {
		if v.Cause != selection.CauseNoTime {
			rest = append(rest, v)
		}
	}
	return rest, len(rejected) - len(rest)
}
