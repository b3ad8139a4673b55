// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"slices"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
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
	// Trials are what came of judging the candidates, nil for what the status says.
	Trials *Trials
	// Now is the time of the explanation.
	Now time.Time
}

// Explain says what becomes of the tags, and why.
func (c *Case) Explain(l Listing, o Options) *Result {
	scanned := c.scanned(l.Tags, o.Now)
	considered := scanned.Tags
	if l.Unlisted != "" {
		considered = append(slices.Clone(considered), l.Unlisted)
	}
	explanation := c.rule.Explain(considered)
	trials := c.trials(o)
	unranked := 0
	explanation.Rejected, unranked = c.unranked(explanation.Rejected)
	excluded := c.excluded(l.Tags)
	r := &Result{
		APIVersion: APIVersion,
		Kind:       Kind,
		Policy:     c.policy(),
		Repository: c.repository(o.Now),
		Rule:       c.rule.String(),
		Gates:      c.reportedGates(trials),
		RunnersUp:  []Candidate{},
		Rejections: c.rejections(explanation.Rejected, excluded),
		Notes:      []Note{},
		Tags: Tags{
			Source:     l.Source,
			Complete:   !l.Partial,
			Listed:     len(considered) + len(excluded),
			Invalid:    l.Invalid,
			Excluded:   len(excluded),
			Candidates: len(explanation.Ranked),
			Unranked:   unranked,
			Rejected:   len(explanation.Rejected),
		},
	}
	if !l.Partial {
		r.Tags.Revision = scanned.Revision()
	}
	if c.timeless {
		forgetKeys(explanation.Ranked)
	}
	if r.Gates == nil {
		r.rank(explanation.Ranked, o.Top)
	} else {
		c.judge(r, explanation.Ranked, o.Top, trials)
	}
	if o.All {
		r.Rejected = rejected(c.rule, explanation.Rejected, excluded)
	}
	if o.Tag != "" {
		r.Tag = c.story(r, o, l, considered, explanation.Ranked)
	}
	c.noteHeldBack(r, explanation.Ranked)
	c.noteTimes(r, explanation.Ranked)
	c.noteGates(r, trials)
	return r
}

// trials returns what came of judging the candidates.
func (c *Case) trials(o Options) Trials {
	if o.Trials != nil {
		return *o.Trials
	}
	return c.Observed()
}

// forgetKeys leaves times out that nobody knows.
func forgetKeys(ranked []selection.Choice) {
	for i := range ranked {
		ranked[i].Key = ""
	}
}

// rank notes the best candidates.
func (r *Result) rank(ranked []selection.Choice, top int) {
	for i, choice := range ranked[:min(len(ranked), max(top, 0)+1)] {
		candidate := Candidate{Rank: i + 1, Tag: choice.Tag, Key: choice.Key}
		if i == 0 {
			r.Selected = &candidate
			continue
		}
		r.RunnersUp = append(r.RunnersUp, candidate)
	}
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

// exclusion is a tag that is left out, and the item of the list by which: noItem for one
// that is left out whatever the list has.
type exclusion struct {
	tag  string
	item int
}

const noItem = -1

// exclusion returns why a scan leaves a tag out, and whether it does.
func (c *Case) exclusion(tag string) (exclusion, bool) {
	if selection.IsReferrerTag(tag) {
		return exclusion{tag, noItem}, true
	}
	item, matches := c.exclusions.Match(tag)
	return exclusion{tag, item}, matches
}

// excluded returns the tags that are left out, in ascending byte order.
func (c *Case) excluded(tags []string) []exclusion {
	var excluded []exclusion
	for _, tag := range tags {
		if e, matches := c.exclusion(tag); matches {
			excluded = append(excluded, e)
		}
	}
	slices.SortFunc(excluded, func(a, b exclusion) int { return cmp.Compare(a.tag, b.tag) })
	return slices.Compact(excluded)
}

// usesDefaultExclusions reports whether the list is the one of those who have
// none. The API server writes it into their spec.
func usesDefaultExclusions(repo *v1.ImageRepository) bool {
	return slices.Equal(repo.GetExclusionList(), []string{v1.DefaultExclusion})
}
