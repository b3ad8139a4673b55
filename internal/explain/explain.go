// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"slices"
	"time"
)

// Options say how much is told.
type Options struct {
	// Top is how many runners-up are told.
	Top int
	// All tells every tag that is no candidate.
	All bool
	// Tag is a tag whose story is told, empty for none.
	Tag string
	// TagExists says that the registry has that tag, whatever it lists.
	TagExists bool
	// GateResults are what came of judging the candidates, nil for what the status says.
	GateResults *GateResults
	// Now is the time of the explanation.
	Now time.Time
}

// Explain says what becomes of the tags, and why.
func (c *Case) Explain(l Listing, o Options) *Result {
	if o.GateResults == nil {
		o.GateResults = new(c.Observed())
	}
	ranked := slices.Collect(c.Ranking(l))
	if c.needsNoTimes && len(ranked) > 0 {
		ranked[0].Key = "" // it is no time that is known
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
	c.part(r, ranked, o)
	if o.Tag != "" {
		r.Tag = c.explainTag(r, o, l, slices.Contains(tags, o.Tag), ranked)
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
