// SPDX-License-Identifier: Apache-2.0

package admission_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
)

// TestEvaluate_StopsAtFirstPassingCandidate asks of the best candidate first, and of no more than that takes.
func TestEvaluate_StopsAtFirstPassingCandidate(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t, "3", "2", "1")
	w.asker.push("3", "c", bad)
	w.asker.push("2", "b", good)
	w.asker.push("1", "a", good)
	walk := w.picks(began, "2@b", "digest 3", "image c", "digest 2", "image b")
	g.Expect(verdicts(walk)).To(Equal("3 c Rejected platforms; 2 b Passed"))
	w.picks(began.Add(time.Second), "2@b", "digest 2") // what it points at is confirmed
	w.held = admission.Current{Tag: "2", Digest: "b"}
	w.picks(began.Add(2*time.Second), "2@b")
	w.held.CheckDigest = true
	g.Expect(w.picks(began.Add(3*time.Second), "2@b", "digest 2").CurrentChecked).To(BeTrue(), "it is not reported that the tag was looked at")
}

// TestEvaluate_SelectsVerifiedDigest: the digest that is picked is the one that was judged.
func TestEvaluate_SelectsVerifiedDigest(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t, "3", "2")
	w.gates.Rule, w.gates.MinimumAge = "r", time.Hour
	w.asker.push("3", "c", good)
	w.asker.push("2", "b", good)
	w.asker.unsigned["c"] = "has no signature"
	walk := w.picks(began.Add(time.Hour), "2@b", "digest 3", "image c", "image c", "verify c", "digest 2", "image b", "image b", "verify b")
	g.Expect(verdicts(walk)).To(Equal("3 c Rejected verify; 2 b Passed"))
	g.Expect(walk.Evaluated[1].Message).To(Equal("signed by ann"))
}

// TestEvaluate_ContinuesAfterBudget: a walk that asks about as many candidates as it may is gone on with.
// Nothing is asked twice, whatever the budget, and the answer is the same.
func TestEvaluate_ContinuesAfterBudget(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		n, budget := 1+random.IntN(40), 1+random.IntN(10)
		w := newWorld(t)
		w.budget = budget
		want := ""
		for i := range n {
			tag, platform := fmt.Sprintf("t%02d", i), bad
			if random.IntN(12) == 0 {
				platform = good
			}
			w.tags = append(w.tags, tag)
			w.asker.push(tag, "d"+tag, platform)
			if want == "" && platform == good {
				want = tag + "@d" + tag
			}
		}
		walks := 1
		result, err := w.evaluate(began)
		for ; errors.Is(err, admission.ErrBudgetExceeded); walks++ {
			result, err = w.evaluate(began.Add(time.Duration(walks) * time.Millisecond))
		}
		if got := picked(result); err != nil || got != want {
			t.Fatalf("%d candidates by %d: picked %q, want %q, %v", n, budget, got, want, err)
		}
		requests := w.asker.requests()
		NewWithT(t).Expect(slices.Compact(slices.Sorted(slices.Values(requests)))).To(HaveLen(len(requests)), "%d candidates by %d: something was asked twice: %q", n, budget, requests)
		if most := n/budget + 1; walks > most {
			t.Fatalf("%d candidates by %d took %d walks", n, budget, walks)
		}
	}
}

// TestEvaluate_BacksOffRechecks: the pause begins with the interval, doubles,
// and ends at a day.
func TestEvaluate_BacksOffRechecks(t *testing.T) {
	w := newWorld(t, "1")
	w.asker.push("1", "a", bad)
	walk := w.picks(began, "", "digest 1", "image a")
	var pauses []time.Duration
	for now := began; len(pauses) < 14; {
		w.picks(walk.Next.Add(-time.Second), "") // too early
		next := walk.Next
		walk = w.picks(next, "", "digest 1")
		pauses = append(pauses, next.Sub(now))
		now = next
	}
	want := []time.Duration{interval, interval}
	for pause := 2 * interval; len(want) < 14; pause *= 2 {
		want = append(want, min(pause, 24*time.Hour))
	}
	NewWithT(t).Expect(pauses).To(BeComparableTo(want), "pauses")
	w.asker.push("1", "a2", good)
	w.picks(walk.Next, "1@a2", "digest 1", "image a2")
}

// TestEvaluate_RechecksOnRequest renews all of them at once, and once.
func TestEvaluate_RechecksOnRequest(t *testing.T) {
	w := newWorld(t, "2", "1")
	w.asker.push("2", "b", bad)
	w.asker.push("1", "a", bad)
	w.picks(began, "", "digest 2", "image b", "digest 1", "image a")
	w.picks(began.Add(time.Minute), "")
	w.again = began.Add(2 * time.Minute)
	w.budget = 1
	_, err := w.evaluate(began.Add(2 * time.Minute))
	NewWithT(t).Expect(err).To(MatchError(admission.ErrBudgetExceeded))
	w.picks(began.Add(2*time.Minute+time.Millisecond), "", "digest 2", "digest 1")
	w.picks(began.Add(3*time.Minute), "")
}

// TestEvaluate_AcceptsLaterSignatures: who signs after the push need not push again.
func TestEvaluate_AcceptsLaterSignatures(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t, "1")
	w.gates = admission.Gates{Rule: "r"}
	w.asker.push("1", "a", good)
	w.asker.unsigned["a"] = "has no signature"
	walk := w.picks(began, "", "digest 1", "verify a")
	w.picks(began.Add(time.Minute), "")
	w.asker.failing = []string{"verify"}
	if result, err := w.evaluate(walk.Next); result.Selected != nil || !errors.Is(err, errNoNet) {
		t.Fatalf("got %v, %v", result.Selected, err)
	}
	w.asker.requests()
	w.asker.failing = nil
	delete(w.asker.unsigned, "a")
	result, err := w.evaluate(walk.Next.Add(time.Second))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(picked(result)).To(Equal("1@a"))
	g.Expect(w.asker.requests()).To(ContainElement("verify a"), "what was rejected passes unasked")
}
