// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"cmp"
	"fmt"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Times returns the time by which a tag is compared under a newest policy, in
// seconds since the epoch, or else the problem that there is none, as what
// follows "the tag …".
type Times func(tag string) (int64, string)

// noTimes is what a Rule knows of times before it is provided with some.
func noTimes(string) (int64, string) { return 0, "has no time that is known yet" }

// byTime is the order of a newest policy: the later, the better.
type byTime struct {
	acceptAll[int64]
	by    v1.TimeSource
	times Times
}

func (m byTime) read(tag string, at *int64) rejection {
	var problem string
	if *at, problem = m.times(tag); problem != "" {
		return rejection{CauseNoTime, problem}
	}
	return rejection{}
}

func (byTime) compare(a, b *int64) int { return cmp.Compare(*a, *b) }

func (byTime) text(_ string, at *int64) string { return time.Unix(*at, 0).UTC().Format(time.RFC3339) }

func (byTime) better() string { return "is later than" }

func compileNewest(policy *v1.NewestPolicy, f *filter) (*Rule, error) {
	if f != nil && f.extract != "" {
		return nil, &InvalidError{Field: fieldExtract, Value: f.extract,
			Problem: "newest compares times, and no part of a tag: remove spec.filterTags.extract"}
	}
	text := "most recently created"
	switch policy.By {
	case v1.TimeCreated:
	case v1.TimeFirstSeen:
		text = "most recently first seen"
	default:
		return nil, &InvalidError{Field: fieldNewestBy, Value: string(policy.By),
			Problem: fmt.Sprintf("there is no such time: write %q or %q", v1.TimeCreated, v1.TimeFirstSeen)}
	}
	return &Rule{
		ranker: &engine[int64, byTime]{filter: f, order: byTime{by: policy.By, times: noTimes}},
		text:   text + f.text(),
	}, nil
}

// Times returns which times the Rule has to be provided with, none for most.
func (r *Rule) Times() v1.TimeSource {
	if e, ok := r.ranker.(*engine[int64, byTime]); ok {
		return e.order.by
	}
	return ""
}

// WithTimes returns the Rule provided with times. One that needs none stays as it is.
func (r *Rule) WithTimes(times Times) *Rule {
	e, ok := r.ranker.(*engine[int64, byTime])
	if !ok {
		return r
	}
	provided := *e
	provided.order.times = times
	return &Rule{ranker: &provided, text: r.text}
}
