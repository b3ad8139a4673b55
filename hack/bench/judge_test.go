// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"strings"
	"testing"
	"time"
)

// made returns a series of a hundred samples.
func made(value func(i int) float64) series {
	s := series{name: "goroutines", part: 0.1, amount: 20}
	for i := range 100 {
		s.values = append(s.values, value(i))
	}
	return s
}

func TestJudgeFindsLeaks(t *testing.T) {
	for name, tc := range map[string]struct {
		series series
		leaks  bool
	}{
		"even":                        {made(func(int) float64 { return 150 }), false},
		"as faults come and go":       {made(func(i int) float64 { return 150 + 100*math.Abs(math.Sin(float64(i))) }), false},
		"with a burst at the end":     {made(func(i int) float64 { return map[bool]float64{true: 900, false: 150}[i > 90] }), false},
		"growing a little":            {made(func(i int) float64 { return 150 + 0.2*float64(i) }), false},
		"leaking one with each":       {made(func(i int) float64 { return 150 + float64(i) }), true},
		"leaking while faults happen": {made(func(i int) float64 { return 150 + float64(i) + 100*math.Abs(math.Sin(float64(i))) }), true},
		"leaking at once":             {made(func(i int) float64 { return map[bool]float64{true: 300, false: 150}[i > 50] }), true},
		"hardly measured":             {series{values: []float64{1, 1}}, true},
	} {
		if wrong := judge([]series{tc.series}); (len(wrong) > 0) != tc.leaks {
			t.Errorf("%s: leaks: %t, found %q", name, tc.leaks, wrong)
		}
	}
}

func TestSlope(t *testing.T) {
	s := made(func(i int) float64 { return 7 + 3*float64(i) })
	if got := s.slope(time.Minute); math.Abs(got-180) > 1e-6 {
		t.Errorf("3 a minute are %f an hour", got)
	}
}

func TestJudgeLogFindsErrors(t *testing.T) {
	log := strings.Join([]string{
		"2026-01-01T00:00:00Z\tINFO\tstarting\t{}",
		"2026-01-01T00:00:00Z\tERROR\tReconciler error\t{}",
		"2026-01-01T00:00:00Z\tERROR\tthe controller ended\t{}",
		"panic: runtime error",
	}, "\n")
	if got := judgeLog(log); len(got) != 2 {
		t.Errorf("found %q", got)
	}
}

func TestChurnKeepsItsPromises(t *testing.T) {
	c := newChurn()
	newest := c.newest("app")
	if newest != "1.199.0" || len(c.list("app")) != churnTags-churnLacking {
		t.Fatalf("begins with %d tags up to %s", len(c.list("app")), newest)
	}
	c.lacking.Store(true)
	for _, tag := range c.list("app") {
		if tag == newest {
			t.Error("a list that lacks tags has the newest")
		}
	}
	if !c.has("app", newest) || c.has("app", "1.200.0") {
		t.Error("a tag that a list lacks exists, and no other")
	}
}
