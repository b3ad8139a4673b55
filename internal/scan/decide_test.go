// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// upToDate returns the state of a repository that was scanned four minutes ago.
func upToDate() State {
	return State{
		Now:      noon,
		Interval: 10 * time.Minute,
		Image:    "a", ObservedImage: "a",
		Exclusions: []string{"x"}, ObservedExclusions: []string{"x"},
		LastScan: noon.Add(-4 * time.Minute),
		Stored:   true,
	}
}

// triggers are the changes that make a scan due, in the order in which Decide checks them.
var triggers = []struct {
	reason Reason
	change func(*State)
}{
	{NeverScanned, func(s *State) { s.LastScan = time.Time{} }},
	{Requested, func(s *State) { s.Requested = true }},
	{ImageChanged, func(s *State) { s.Image = "b" }},
	{ExclusionChanged, func(s *State) { s.Exclusions = nil }},
	{StoreEmpty, func(s *State) { s.Stored = false }},
	{LastScanFailed, func(s *State) { s.Failing = true }},
	{IntervalElapsed, func(s *State) { s.Now = s.LastScan.Add(s.Interval) }},
}

func TestDecide_WaitsForInterval(t *testing.T) {
	g := NewWithT(t)
	decision := Decide(upToDate())
	_, due := decision.Due()
	g.Expect(due).To(BeFalse())
	g.Expect(decision.Wait()).To(Equal(6 * time.Minute))
}

func TestDecide_ReturnsEachTrigger(t *testing.T) {
	for _, trigger := range triggers {
		t.Run(string(trigger.reason), func(t *testing.T) {
			state := upToDate()
			trigger.change(&state)
			reason, due := Decide(state).Due()
			g := NewWithT(t)
			g.Expect(due).To(BeTrue())
			g.Expect(reason).To(Equal(trigger.reason))
		})
	}
}

func TestDecide_TriggersInOrder(t *testing.T) {
	for i, first := range triggers {
		for _, second := range triggers[i+1:] {
			state := upToDate()
			second.change(&state)
			first.change(&state)
			reason, _ := Decide(state).Due()
			NewWithT(t).Expect(reason).To(Equal(first.reason), "%q takes precedence over %q", first.reason, second.reason)
		}
	}
}

func TestRemaining_IsBoundedByInterval(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Remaining(noon, time.Minute, noon.Add(20*time.Second))).To(Equal(40 * time.Second))
	g.Expect(Remaining(noon, time.Minute, noon.Add(2*time.Minute))).To(BeNumerically("<", 0))
	g.Expect(Remaining(noon.Add(24*time.Hour), time.Minute, noon)).To(Equal(time.Minute),
		"a last scan in the future, due to a wrong clock")
}

func TestSpread_IsStableAndUniform(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Spread(time.Hour, 0, "seed")).To(Equal(time.Hour))
	g.Expect(Spread(time.Hour, 10, "seed")).To(Equal(Spread(time.Hour, 10, "seed")), "the same after a restart")

	early, late := 0, 0
	for i := range 1000 {
		d := Spread(time.Hour, 10, fmt.Sprint("object-", i))
		g.Expect(d).To(And(BeNumerically(">=", 54*time.Minute), BeNumerically("<=", 66*time.Minute)))
		if d < time.Hour {
			early++
		} else {
			late++
		}
	}
	g.Expect(early).To(And(BeNumerically(">", 400), BeNumerically("<", 600)), "the jitter is uniform, late %d", late)
}
