// SPDX-License-Identifier: Apache-2.0

package admission_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
)

// TestEvaluate_RetainsCurrentImageIfTagMoves: what passed stays until its tag points at something
// that passes, too.
func TestEvaluate_RetainsCurrentImageIfTagMoves(t *testing.T) {
	moved := func(t *testing.T, platform string) *world {
		w := newWorld(t, "2", "1")
		w.late = true
		w.asker.push("2", "b", good)
		w.asker.push("1", "a", good)
		w.picks(began, "2@b", "digest 2", "image b")
		w.asker.push("2", "b2", platform)
		w.held = admission.Current{Tag: "2", Digest: "b", CheckDigest: true}
		return w
	}
	t.Run("to one that passes", func(t *testing.T) {
		moved(t, good).picks(began, "2@b2", "digest 2", "image b2")
	})
	t.Run("to one that does not", func(t *testing.T) {
		g := NewWithT(t)
		w := moved(t, bad)
		w.held.Verdict = v1.CandidatePassed
		walk := w.picks(began, "2@b", "digest 2", "image b2")
		g.Expect(verdicts(walk)).To(Equal("2 b2 Retained platforms"))
		g.Expect(walk.Evaluated[0].Message).To(Equal("does not provide linux/amd64, only windows/amd64; b, which passed before, stays selected"))
		g.Expect(w.facts["2"].Digest).To(Equal("b2"), "the facts are about")
		g.Expect(walk.Next.IsZero()).To(BeFalse(), "it is never looked at again")
		w.held.CheckDigest = false
		w.picks(began.Add(time.Second), "2@b")
	})
	t.Run("to one that is too young", func(t *testing.T) {
		w := moved(t, good)
		w.gates.MinimumAge, w.held.Verdict = time.Hour, v1.CandidatePassed
		walk := w.picks(began.Add(time.Minute), "2@b", "digest 2")
		if got := verdicts(walk); got != "2 b2 Retained minimumAge" || !walk.Evaluated[0].EligibleAt.Time.Equal(began.Add(61*time.Minute)) {
			t.Errorf("%s, eligible at %s", got, walk.Evaluated[0].EligibleAt)
		}
		NewWithT(t).Expect(walk.Next.Equal(began.Add(61*time.Minute))).To(BeTrue(), "the next walk is at %s", walk.Next)
		w.picks(walk.Next, "2@b2", "digest 2", "image b2")
	})
	t.Run("and the gates were changed, so that neither passes", func(t *testing.T) {
		w := moved(t, bad)
		w.gates.Rule = "r"
		w.asker.unsigned["b"] = "has no signature"
		w.picks(began, "1@a", "digest 2", "image b2", "image b", "verify b", "digest 1", "image a", "verify a")
	})
	t.Run("nobody looks where that is not wanted", func(t *testing.T) {
		w := moved(t, bad)
		w.held.CheckDigest, w.held.Verdict = false, v1.CandidatePassed
		w.picks(began, "2@b")
	})
}

// TestEvaluate_AppliesNewGatesToCurrentImage: but not by its age.
func TestEvaluate_AppliesNewGatesToCurrentImage(t *testing.T) {
	w := newWorld(t, "2", "1")
	w.late = true
	w.asker.push("2", "b", bad)
	w.asker.push("1", "a", good)
	w.held = admission.Current{Tag: "2", Digest: "b"}
	w.gates = admission.Gates{MinimumAge: time.Hour}
	w.picks(began, "2@b")
	w.gates.Platforms = []string{good}
	walk := w.picks(began, "", "image b", "digest 1")
	NewWithT(t).Expect(verdicts(walk)).To(Equal("2 b Rejected platforms; 1 a Pending minimumAge"))
}

// rejectedByNewKeys is a world in which nothing is signed by new keys, what is selected
// neither, and the time of the next walk.
func rejectedByNewKeys(t *testing.T, look bool) (*world, time.Time) {
	w := newWorld(t, "2")
	w.late = true
	w.gates = admission.Gates{Rule: "new keys", MinimumAge: time.Hour}
	w.asker.push("2", "b", good)
	w.asker.unsigned["b"] = "has no signature"
	w.held = admission.Current{Tag: "2", Digest: "b", CheckDigest: look}
	walk := w.comesTo(began, "2 b Rejected verify")
	w.held = walk.Current
	w.asker.requests()
	return w, walk.Next
}

// comesTo walks once, and expects verdicts.
func (w *world) comesTo(now time.Time, want string) admission.Result {
	w.t.Helper()
	g := NewWithT(w.t)
	walk, err := w.evaluate(now)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(verdicts(walk)).To(Equal(want))
	return walk
}

// TestEvaluate_RechecksRejectedCurrentImage: by new gates the image that is selected does not
// pass, and nothing else does. It is signed later, or its tag is moved to one that passes.
func TestEvaluate_RechecksRejectedCurrentImage(t *testing.T) {
	for _, look := range []bool{false, true} {
		t.Run(fmt.Sprintf("signed later, look %v", look), func(t *testing.T) {
			w, next := rejectedByNewKeys(t, look)
			delete(w.asker.unsigned, "b")
			w.picks(next, "2@b", "digest 2", "verify b")
		})
		t.Run(fmt.Sprintf("signed later, and somebody asks, look %v", look), func(t *testing.T) {
			w, _ := rejectedByNewKeys(t, look)
			delete(w.asker.unsigned, "b")
			w.again = began.Add(time.Second)
			w.picks(w.again, "2@b", "digest 2", "verify b")
		})
		t.Run(fmt.Sprintf("moved, look %v", look), func(t *testing.T) {
			w, next := rejectedByNewKeys(t, look)
			w.asker.push("2", "c", good)
			w.gates.MinimumAge = 0
			w.comesTo(next, "2 c Passed")
		})
		t.Run(fmt.Sprintf("moved to one that is too young, look %v", look), func(t *testing.T) {
			w, next := rejectedByNewKeys(t, look)
			w.asker.push("2", "c", good)
			walk := w.comesTo(next, "2 c Pending minimumAge")
			w.comesTo(walk.Next, "2 c Passed")
		})
	}
}

// TestMinimumAge_WaitsAndConfirmsDigest costs nothing until it is over. Then what the tag points at counts.
func TestMinimumAge_WaitsAndConfirmsDigest(t *testing.T) {
	w := newWorld(t, "2", "1")
	w.late = true
	w.gates = admission.Gates{MinimumAge: time.Hour}
	w.asker.push("2", "b", good)
	w.asker.push("1", "a", good)
	w.held = admission.Current{Tag: "1", Digest: "a"}
	walk := w.picks(began, "1@a", "digest 2")
	if got := verdicts(walk); got != "2 b Pending minimumAge; 1 a Passed" || !walk.Next.Equal(began.Add(time.Hour)) {
		t.Errorf("%s, next at %s", got, walk.Next)
	}
	w.picks(began.Add(time.Hour-time.Second), "1@a")
	w.asker.push("2", "b2", good)
	walk = w.picks(began.Add(time.Hour), "1@a", "digest 2")
	if got := verdicts(walk); got != "2 b2 Pending minimumAge; 1 a Passed" || !walk.Next.Equal(began.Add(2*time.Hour)) {
		t.Errorf("another image is as young as it is: %s, next at %s", got, walk.Next)
	}
	w.picks(began.Add(2*time.Hour), "2@b2", "digest 2")
}

// TestMinimumAge_UsesCreationTimeAtFirstScan: an image that was there before is judged by when it was
// created, and one that its tag was moved to by when that was seen.
func TestMinimumAge_UsesCreationTimeAtFirstScan(t *testing.T) {
	w := newWorld(t, "1")
	w.gates = admission.Gates{MinimumAge: time.Hour}
	w.asker.push("1", "a", good)
	w.picks(began.Add(time.Hour), "1@a", "digest 1", "image a")
	w.asker.push("1", "a2", good)
	w.picks(began.Add(2*time.Hour), "", "digest 1")
	w.picks(began.Add(3*time.Hour), "1@a2", "digest 1")
}

// TestEvaluate_RejectsTagWithoutImage: the list has a tag for which there is no image. Another one is selected.
func TestEvaluate_RejectsTagWithoutImage(t *testing.T) {
	w := newWorld(t, "2", "1")
	w.asker.push("1", "a", good)
	walk := w.picks(began, "1@a", "digest 2", "digest 1", "image a")
	NewWithT(t).Expect(verdicts(walk)).To(Equal("2  Rejected digest; 1 a Passed"))
	w.asker.push("2", "b", good)
	w.picks(walk.Next, "2@b", "digest 2", "image b")
}

// TestEvaluate_ReturnsNoVerdictOnError: whatever fails, nothing is selected and nobody rejected,
// and another walk comes to the same as if nothing had failed.
func TestEvaluate_ReturnsNoVerdictOnError(t *testing.T) {
	for _, failing := range []string{"digest 2", "image b", "verify b", "digest 1", "image a", "verify a"} {
		t.Run(failing, func(t *testing.T) {
			g := NewWithT(t)
			w := newWorld(t, "2", "1")
			w.gates.Rule = "r"
			w.asker.push("2", "b", good)
			w.asker.push("1", "a", good)
			w.asker.unsigned["b"] = "has no signature"
			w.asker.failing = []string{failing}
			result, err := w.evaluate(began)
			g.Expect(result.Selected).To(BeNil())
			g.Expect(err).To(MatchError(errNoNet))
			if tag := map[byte]string{'2': "2", 'b': "2", '1': "1", 'a': "1"}[failing[len(failing)-1]]; strings.Contains(verdicts(result), tag+" ") {
				t.Errorf("a verdict on %s was made up: %s", tag, verdicts(result))
			}
			known := w.asker.requests()
			w.asker.failing = nil
			result, err = w.evaluate(began.Add(time.Second))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(picked(result)).To(Equal("1@a"))
			for _, request := range w.asker.requests() {
				if request != failing && !strings.HasPrefix(request, "digest") && slices.Contains(known, request) {
					t.Errorf("%q was asked again", request)
				}
			}
		})
	}
}
