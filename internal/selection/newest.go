// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"cmp"
	"fmt"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Times returns the time by which a newest policy ranks a tag, in seconds since the epoch. If there
// is none, it returns the reason as the text after "the tag …".
type Times func(tag string) (int64, string)

// noTimes is the default for a Rule without WithTimes.
func noTimes(string) (int64, string) { return 0, "has no known time yet" }

// byTime compares times, for newest policies. The latest is the best.
type byTime struct {
	acceptAll[int64]
	by    v1.TimeSource
	times Times
}

func (t byTime) read(tag string, at *int64) rejection {
	var problem string
	if *at, problem = t.times(tag); problem != "" {
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
			Problem: "newest compares times, not parts of a tag: remove spec.filterTags.extract"}
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

// Times returns the kind of times that the Rule requires, or "" if it requires none.
func (r *Rule) Times() v1.TimeSource {
	if e, ok := r.ranker.(*engine[int64, byTime]); ok {
		return e.order.by
	}
	return ""
}

// WithTimes returns a copy of the Rule that uses times, or the Rule itself if it requires none.
func (r *Rule) WithTimes(times Times) *Rule {
	e, ok := r.ranker.(*engine[int64, byTime])
	if !ok {
		return r
	}
	withTimes := *e
	withTimes.order.times = times
	return &Rule{ranker: &withTimes, text: r.text}
}
