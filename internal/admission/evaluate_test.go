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

// TestEvaluate_StopsAtFirstPassingCandidate expects no requests beyond the best passing candidate.
func TestEvaluate_StopsAtFirstPassingCandidate(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t, "3", "2", "1")
	f.registry.push("3", "c", bad)
	f.registry.push("2", "b", good)
	f.registry.push("1", "a", good)
	result := f.expectSelected(firstScan, "2@b", "digest 3", "image c", "digest 2", "image b")
	g.Expect(verdicts(result)).To(Equal("3 c Rejected platforms; 2 b Passed"))
	f.expectSelected(firstScan.Add(time.Second), "2@b", "digest 2") // the digest is confirmed
	f.current = admission.Current{Tag: "2", Digest: "b"}
	f.expectSelected(firstScan.Add(2*time.Second), "2@b")
	f.current.CheckDigest = true
	g.Expect(f.expectSelected(firstScan.Add(3*time.Second), "2@b", "digest 2").CurrentChecked).To(BeTrue(), "CurrentChecked")
}

// TestEvaluate_SelectsVerifiedDigest expects the selected digest to be the evaluated one.
func TestEvaluate_SelectsVerifiedDigest(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t, "3", "2")
	f.gates.VerifierFingerprint, f.gates.MinimumAge = "r", time.Hour
	f.registry.push("3", "c", good)
	f.registry.push("2", "b", good)
	f.registry.unsigned["c"] = "has no signature"
	result := f.expectSelected(firstScan.Add(time.Hour), "2@b", "digest 3", "image c", "image c", "verify c", "digest 2", "image b", "image b", "verify b")
	g.Expect(verdicts(result)).To(Equal("3 c Rejected verify; 2 b Passed"))
	g.Expect(result.Evaluated[1].Message).To(Equal("signed by ann"))
}

// TestEvaluate_ContinuesAfterBudget expects evaluations to continue where the budget ended the
// previous one: nothing is requested twice and the selection does not depend on the budget.
func TestEvaluate_ContinuesAfterBudget(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		n, budget := 1+random.IntN(40), 1+random.IntN(10)
		f := newFixture(t)
		f.budget = budget
		want := ""
		for i := range n {
			tag, platform := fmt.Sprintf("t%02d", i), bad
			if random.IntN(12) == 0 {
				platform = good
			}
			f.tags = append(f.tags, tag)
			f.registry.push(tag, "d"+tag, platform)
			if want == "" && platform == good {
				want = tag + "@d" + tag
			}
		}
		evaluations := 1
		result, err := f.evaluate(firstScan)
		for ; errors.Is(err, admission.ErrBudgetExhausted); evaluations++ {
			result, err = f.evaluate(firstScan.Add(time.Duration(evaluations) * time.Millisecond))
		}
		if got := selected(result); err != nil || got != want {
			t.Fatalf("%d candidates, budget %d: selected %q, want %q, %v", n, budget, got, want, err)
		}
		requests := f.registry.requests()
		NewWithT(t).Expect(slices.Compact(slices.Sorted(slices.Values(requests)))).To(HaveLen(len(requests)), "%d candidates, budget %d: repeated requests: %q", n, budget, requests)
		if limit := n/budget + 1; evaluations > limit {
			t.Fatalf("%d candidates, budget %d: %d evaluations", n, budget, evaluations)
		}
	}
}

// TestEvaluate_BacksOffRechecks expects pauses that start at the interval, double, and are limited
// to a day.
func TestEvaluate_BacksOffRechecks(t *testing.T) {
	f := newFixture(t, "1")
	f.registry.push("1", "a", bad)
	result := f.expectSelected(firstScan, "", "digest 1", "image a")
	var pauses []time.Duration
	for now := firstScan; len(pauses) < 14; {
		f.expectSelected(result.Next.Add(-time.Second), "") // too early
		next := result.Next
		result = f.expectSelected(next, "", "digest 1")
		pauses = append(pauses, next.Sub(now))
		now = next
	}
	want := []time.Duration{interval, interval}
	for pause := 2 * interval; len(want) < 14; pause *= 2 {
		want = append(want, min(pause, 24*time.Hour))
	}
	NewWithT(t).Expect(pauses).To(BeComparableTo(want), "pauses")
	f.registry.push("1", "a2", good)
	f.expectSelected(result.Next, "1@a2", "digest 1", "image a2")
}

// TestEvaluate_RechecksOnRequest expects all rejected candidates to be rechecked once.
func TestEvaluate_RechecksOnRequest(t *testing.T) {
	f := newFixture(t, "2", "1")
	f.registry.push("2", "b", bad)
	f.registry.push("1", "a", bad)
	f.expectSelected(firstScan, "", "digest 2", "image b", "digest 1", "image a")
	f.expectSelected(firstScan.Add(time.Minute), "")
	f.renewBefore = firstScan.Add(2 * time.Minute)
	f.budget = 1
	_, err := f.evaluate(firstScan.Add(2 * time.Minute))
	NewWithT(t).Expect(err).To(MatchError(admission.ErrBudgetExhausted))
	f.expectSelected(firstScan.Add(2*time.Minute+time.Millisecond), "", "digest 2", "digest 1")
	f.expectSelected(firstScan.Add(3*time.Minute), "")
}

// TestEvaluate_AcceptsLaterSignatures expects images that are signed after the push to pass.
func TestEvaluate_AcceptsLaterSignatures(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t, "1")
	f.gates = admission.Gates{VerifierFingerprint: "r"}
	f.registry.push("1", "a", good)
	f.registry.unsigned["a"] = "has no signature"
	result := f.expectSelected(firstScan, "", "digest 1", "verify a")
	f.expectSelected(firstScan.Add(time.Minute), "")
	f.registry.failing = []string{"verify"}
	if result, err := f.evaluate(result.Next); result.Selected != nil || !errors.Is(err, errNoNet) {
		t.Fatalf("got %v, %v", result.Selected, err)
	}
	f.registry.requests()
	f.registry.failing = nil
	delete(f.registry.unsigned, "a")
	result, err := f.evaluate(result.Next.Add(time.Second))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(selected(result)).To(Equal("1@a"))
	g.Expect(f.registry.requests()).To(ContainElement("verify a"), "the signature was not verified again")
}

// TestEvaluate_StopsIfInfoCannotBeRead checks that a candidate whose cached info can't be read is
// not treated as a new one: its requests would be sent again, and replace what is cached.
func TestEvaluate_StopsIfInfoCannotBeRead(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t, "2", "1")
	broken := errors.New("the volume fails")
	f.unreadable = map[string]error{"2": broken}
	result, err := f.evaluate(firstScan)
	g.Expect(err).To(MatchError(broken))
	g.Expect(result.Fetched).To(BeEmpty())
	g.Expect(result.Selected).To(BeNil())
}
