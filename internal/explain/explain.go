// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"slices"
	"time"
)

// Options select what a Result contains.
type Options struct {
	// Top is the maximum number of runners-up.
	Top int
	// All includes every tag that is not a candidate.
	All bool
	// Tag is the tag to explain; may be empty.
	Tag string
	// TagExists is set if Tag exists in the registry, listed or not.
	TagExists bool
	// History includes the history of the policy.
	History bool
	// GateResults are the verdicts on the candidates; nil for those in the status.
	GateResults *GateResults
	// Now is the time of the explanation.
	Now time.Time
}

// Explain returns which of the tags is selected, and why the others are not.
func (c *Case) Explain(l Listing, o Options) *Result {
	if o.GateResults == nil {
		o.GateResults = new(c.Observed())
	}
	ranked := slices.Collect(c.Ranking(l))
	if c.timesUnknown && len(ranked) > 0 {
		ranked[0].Key = "" // SelectFromStatus ranks by a placeholder, not by a time
	}
	tags := slices.Clone(l.Tags)
	if l.Unlisted != "" {
		tags = append(tags, l.Unlisted)
	}
	slices.Sort(tags)
	tags = slices.Compact(tags)
	r := &Result{
		APIVersion: APIVersion,
		Kind:       Kind,
		Policy:     c.policy(),
		Repository: c.repository(o.Now),
		Rule:       c.rule.String(),
		Gates:      c.reportedGates(*o.GateResults),
		RunnersUp:  []Candidate{},
		Notes:      []Note{},
		Tags: Tags{
			Source: l.Source, Complete: !l.Partial, Listed: len(tags), Invalid: l.Invalid, Candidates: len(ranked),
		},
	}
	if !l.Partial {
		r.Tags.Revision = c.scanned(l.Tags, o.Now).Revision()
	}
	rejected := c.reject(tags, &r.Tags)
	r.Rejections = c.rejections(rejected)
	if o.All {
		r.Rejected = rejected
	}
	c.partition(r, ranked, o)
	if o.Tag != "" {
		r.Tag = c.explainTag(r, o, l, slices.Contains(tags, o.Tag), ranked)
	}
	if o.History {
		c.addHistory(r, l, o)
	}
	c.noteHeldBack(r, ranked)
	c.noteTimes(r, ranked)
	c.noteGates(r, *o.GateResults)
	return r
}

func (c *Case) policy() Policy {
	p := Policy{
		Name:                   c.Policy.Name,
		Namespace:              c.Policy.Namespace,
		File:                   c.PolicyFile,
		Suspended:              c.Policy.Spec.Suspend,
		DigestReflectionPolicy: c.Policy.GetDigestReflectionPolicy(),
	}
	if c.Live() {
		p.Ready, p.LatestRef = readyOf(c.Policy.Status.Conditions), c.Policy.Status.LatestRef
	}
	return p
}
