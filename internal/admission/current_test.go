// SPDX-License-Identifier: Apache-2.0

package admission_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
)

// TestEvaluate_RetainsCurrentImageIfTagMoves covers a current image that stays selected until its
// tag points to another image that passes.
func TestEvaluate_RetainsCurrentImageIfTagMoves(t *testing.T) {
	moved := func(t *testing.T, platform string) *fixture {
		f := newFixture(t, "2", "1")
		f.addedLater = true
		f.registry.push("2", "b", good)
		f.registry.push("1", "a", good)
		f.expectSelected(firstScan, "2@b", "digest 2", "image b")
		f.registry.push("2", "b2", platform)
		f.current = admission.Current{Tag: "2", Digest: "b", CheckDigest: true}
		return f
	}
	t.Run("to an image that passes", func(t *testing.T) {
		moved(t, good).expectSelected(firstScan, "2@b2", "digest 2", "image b2")
	})
	t.Run("to an image that does not pass", func(t *testing.T) {
		g := NewWithT(t)
		f := moved(t, bad)
		f.current.Verdict = v1.CandidatePassed
		result := f.expectSelected(firstScan, "2@b", "digest 2", "image b2")
		g.Expect(verdicts(result)).To(Equal("2 b2 Retained platforms"))
		g.Expect(result.Evaluated[0].Message).To(Equal("does not provide linux/amd64, only windows/amd64; b, which passed before, stays selected"))
		g.Expect(f.infos["2"].Digest).To(Equal("b2"), "digest in the image info")
		g.Expect(result.Next.IsZero()).To(BeFalse(), "no recheck is scheduled")
		f.current.CheckDigest = false
		f.expectSelected(firstScan.Add(time.Second), "2@b")
	})
	t.Run("to an image that is too young", func(t *testing.T) {
		f := moved(t, good)
		f.gates.MinimumAge, f.current.Verdict = time.Hour, v1.CandidatePassed
		result := f.expectSelected(firstScan.Add(time.Minute), "2@b", "digest 2")
		if got := verdicts(result); got != "2 b2 Retained minimumAge" || !result.Evaluated[0].EligibleAt.Time.Equal(firstScan.Add(61*time.Minute)) {
			t.Errorf("%s, eligible at %s", got, result.Evaluated[0].EligibleAt)
		}
		NewWithT(t).Expect(result.Next.Equal(firstScan.Add(61*time.Minute))).To(BeTrue(), "the next evaluation is at %s", result.Next)
		f.expectSelected(result.Next, "2@b2", "digest 2", "image b2")
	})
	t.Run("while the gates change and neither passes", func(t *testing.T) {
		f := moved(t, bad)
		f.gates.VerifierFingerprint = "r"
		f.registry.unsigned["b"] = "has no signature"
		f.expectSelected(firstScan, "1@a", "digest 2", "image b2", "image b", "verify b", "digest 1", "image a", "verify a")
	})
	t.Run("without a check if none is due", func(t *testing.T) {
		f := moved(t, bad)
		f.current.CheckDigest, f.current.Verdict = false, v1.CandidatePassed
		f.expectSelected(firstScan, "2@b")
	})
}

// TestEvaluate_AppliesNewGatesToCurrentImage covers all gates except the minimum age.
func TestEvaluate_AppliesNewGatesToCurrentImage(t *testing.T) {
	f := newFixture(t, "2", "1")
	f.addedLater = true
	f.registry.push("2", "b", bad)
	f.registry.push("1", "a", good)
	f.current = admission.Current{Tag: "2", Digest: "b"}
	f.gates = admission.Gates{MinimumAge: time.Hour}
	f.expectSelected(firstScan, "2@b")
	f.gates.Platforms = []string{good}
	result := f.expectSelected(firstScan, "", "image b", "digest 1")
	NewWithT(t).Expect(verdicts(result)).To(Equal("2 b Rejected platforms; 1 a Pending minimumAge"))
}

// newRejectedFixture returns a fixture in which no image, including the current one, is signed by
// the new keys, and the time of the next evaluation.
func newRejectedFixture(t *testing.T, checkDigest bool) (*fixture, time.Time) {
	f := newFixture(t, "2")
	f.addedLater = true
	f.gates = admission.Gates{VerifierFingerprint: "new keys", MinimumAge: time.Hour}
	f.registry.push("2", "b", good)
	f.registry.unsigned["b"] = "has no signature"
	f.current = admission.Current{Tag: "2", Digest: "b", CheckDigest: checkDigest}
	result := f.expectVerdicts(firstScan, "2 b Rejected verify")
	f.current = result.Current
	f.registry.requests()
	return f, result.Next
}

// expectVerdicts evaluates once and expects verdicts.
func (f *fixture) expectVerdicts(now time.Time, want string) admission.Result {
	f.t.Helper()
	g := NewWithT(f.t)
	result, err := f.evaluate(now)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(verdicts(result)).To(Equal(want))
	return result
}

// TestEvaluate_RechecksRejectedCurrentImage covers a current image that new gates reject while no
// other image passes. It is signed later, or its tag is moved to an image that passes.
func TestEvaluate_RechecksRejectedCurrentImage(t *testing.T) {
	for _, checkDigest := range []bool{false, true} {
		t.Run(fmt.Sprintf("signed later, check digest %v", checkDigest), func(t *testing.T) {
			f, next := newRejectedFixture(t, checkDigest)
			delete(f.registry.unsigned, "b")
			f.expectSelected(next, "2@b", "digest 2", "verify b")
		})
		t.Run(fmt.Sprintf("signed later, recheck requested, check digest %v", checkDigest), func(t *testing.T) {
			f, _ := newRejectedFixture(t, checkDigest)
			delete(f.registry.unsigned, "b")
			f.renewBefore = firstScan.Add(time.Second)
			f.expectSelected(f.renewBefore, "2@b", "digest 2", "verify b")
		})
		t.Run(fmt.Sprintf("moved, check digest %v", checkDigest), func(t *testing.T) {
			f, next := newRejectedFixture(t, checkDigest)
			f.registry.push("2", "c", good)
			f.gates.MinimumAge = 0
			f.expectVerdicts(next, "2 c Passed")
		})
		t.Run(fmt.Sprintf("moved to an image that is too young, check digest %v", checkDigest), func(t *testing.T) {
			f, next := newRejectedFixture(t, checkDigest)
			f.registry.push("2", "c", good)
			result := f.expectVerdicts(next, "2 c Pending minimumAge")
			f.expectVerdicts(result.Next, "2 c Passed")
		})
	}
}

// TestMinimumAge_WaitsAndConfirmsDigest expects no requests until the age is reached. Then the
// current digest of the tag counts.
func TestMinimumAge_WaitsAndConfirmsDigest(t *testing.T) {
	f := newFixture(t, "2", "1")
	f.addedLater = true
	f.gates = admission.Gates{MinimumAge: time.Hour}
	f.registry.push("2", "b", good)
	f.registry.push("1", "a", good)
	f.current = admission.Current{Tag: "1", Digest: "a"}
	result := f.expectSelected(firstScan, "1@a", "digest 2")
	if got := verdicts(result); got != "2 b Pending minimumAge; 1 a Passed" || !result.Next.Equal(firstScan.Add(time.Hour)) {
		t.Errorf("%s, next at %s", got, result.Next)
	}
	f.expectSelected(firstScan.Add(time.Hour-time.Second), "1@a")
	f.registry.push("2", "b2", good)
	result = f.expectSelected(firstScan.Add(time.Hour), "1@a", "digest 2")
	if got := verdicts(result); got != "2 b2 Pending minimumAge; 1 a Passed" || !result.Next.Equal(firstScan.Add(2*time.Hour)) {
		t.Errorf("the age of another image starts again: %s, next at %s", got, result.Next)
	}
	f.expectSelected(firstScan.Add(2*time.Hour), "2@b2", "digest 2")
}

// TestMinimumAge_UsesCreationTimeAtFirstScan expects the creation time to count for an image of the
// first scan, and the time of the change for an image that a tag is moved to later.
func TestMinimumAge_UsesCreationTimeAtFirstScan(t *testing.T) {
	f := newFixture(t, "1")
	f.gates = admission.Gates{MinimumAge: time.Hour}
	f.registry.push("1", "a", good)
	f.expectSelected(firstScan.Add(time.Hour), "1@a", "digest 1", "image a")
	f.registry.push("1", "a2", good)
	f.expectSelected(firstScan.Add(2*time.Hour), "", "digest 1")
	f.expectSelected(firstScan.Add(3*time.Hour), "1@a2", "digest 1")
}

// TestEvaluate_RejectsTagWithoutImage covers a listed tag without an image.
func TestEvaluate_RejectsTagWithoutImage(t *testing.T) {
	f := newFixture(t, "2", "1")
	f.registry.push("1", "a", good)
	result := f.expectSelected(firstScan, "1@a", "digest 2", "digest 1", "image a")
	NewWithT(t).Expect(verdicts(result)).To(Equal("2  Rejected digest; 1 a Passed"))
	f.registry.push("2", "b", good)
	f.expectSelected(result.Next, "2@b", "digest 2", "image b")
}

// TestEvaluate_ReturnsNoVerdictOnError expects neither a selection nor a rejection if a request
// fails, and the same result as without the failure from the next evaluation.
func TestEvaluate_ReturnsNoVerdictOnError(t *testing.T) {
	for _, failing := range []string{"digest 2", "image b", "verify b", "digest 1", "image a", "verify a"} {
		t.Run(failing, func(t *testing.T) {
			g := NewWithT(t)
			f := newFixture(t, "2", "1")
			f.gates.VerifierFingerprint = "r"
			f.registry.push("2", "b", good)
			f.registry.push("1", "a", good)
			f.registry.unsigned["b"] = "has no signature"
			f.registry.failing = []string{failing}
			result, err := f.evaluate(firstScan)
			g.Expect(result.Selected).To(BeNil())
			g.Expect(err).To(MatchError(errNoNet))
			if tag := map[byte]string{'2': "2", 'b': "2", '1': "1", 'a': "1"}[failing[len(failing)-1]]; strings.Contains(verdicts(result), tag+" ") {
				t.Errorf("got a verdict on %s: %s", tag, verdicts(result))
			}
			known := f.registry.requests()
			f.registry.failing = nil
			result, err = f.evaluate(firstScan.Add(time.Second))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(selected(result)).To(Equal("1@a"))
			for _, request := range f.registry.requests() {
				if request != failing && !strings.HasPrefix(request, "digest") && slices.Contains(known, request) {
					t.Errorf("%q was requested again", request)
				}
			}
		})
	}
}

// newAttestedFixture returns a fixture with a rule that depends on the time, and two images, of
// which the better one passes for an hour.
func newAttestedFixture(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t, "2", "1")
	f.gates = admission.Gates{VerifierFingerprint: "r", VerifierDependsOnTime: true}
	f.registry.push("2", "b", good)
	f.registry.push("1", "a", good)
	f.registry.attestedUntil = map[string]time.Time{"b": firstScan.Add(time.Hour)}
	f.current = f.expectSelected(firstScan, "2@b", "digest 2", "verify b").Current
	return f
}

// TestEvaluate_KeepsCurrentImageAsTimePasses covers a rule that depends on the time: the current
// image stays selected, also after a restart, after the loss of the store, and if another policy
// with the same rule rejected it. It does not pass as a new candidate.
func TestEvaluate_KeepsCurrentImageAsTimePasses(t *testing.T) {
	later := firstScan.Add(2 * time.Hour)
	restarted := admission.Current{Tag: "2", Digest: "b", SelectedAt: firstScan}
	f := newAttestedFixture(t)
	f.expectSelected(later, "2@b")
	f.current = restarted
	f.expectSelected(later, "2@b")
	f.infos = map[string]admission.ImageInfo{}
	f.expectSelected(later, "2@b", "verify b")

	f = newAttestedFixture(t)
	f.current = admission.Current{}
	f.expectSelected(later, "1@a", "verify b", "digest 1", "verify a")
	f.current = restarted
	f.rechecks = nil
	f.expectSelected(later, "2@b", "verify b")
	f.expectSelected(later, "2@b")
}

// TestEvaluate_VerifiesCurrentImageAtItsSelection covers a current image without a stored pass, for
// a rule that depends on the time. It is verified at the time of its selection, or now if that is
// not known. A result at one time does not count at another.
func TestEvaluate_VerifiesCurrentImageAtItsSelection(t *testing.T) {
	late := firstScan.Add(2 * time.Hour)
	for name, tc := range map[string]struct {
		at       time.Time
		want     string
		requests []string
	}{
		"InTime":  {at: firstScan.Add(time.Minute), want: "2@b", requests: []string{"verify b"}},
		"TooLate": {at: late, want: "1@a", requests: []string{"verify b", "verify b", "digest 1", "verify a"}},
		"Unknown": {want: "1@a", requests: []string{"verify b", "verify b", "digest 1", "verify a"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newAttestedFixture(t)
			f.infos = map[string]admission.ImageInfo{}
			f.current = admission.Current{Tag: "2", Digest: "b", SelectedAt: tc.at}
			f.expectSelected(late.Add(time.Hour), tc.want, tc.requests...)
		})
	}
	f := newAttestedFixture(t)
	f.infos = map[string]admission.ImageInfo{}
	f.current = admission.Current{Tag: "2", Digest: "b", SelectedAt: late}
	f.expectSelected(late, "1@a", "verify b", "verify b", "digest 1", "verify a")
	f.current = admission.Current{Tag: "2", Digest: "b", SelectedAt: firstScan}
	f.expectSelected(late, "2@b", "verify b")
}

// TestEvaluate_VerifiesAgainAsTimePasses covers a candidate that passed earlier, when it was
// selected, and now would be selected again: its attestations are checked at the current time.
// Without such a rule, the stored result is used.
func TestEvaluate_VerifiesAgainAsTimePasses(t *testing.T) {
	f := newAttestedFixture(t)
	f.current = admission.Current{Tag: "1", Digest: "a"}
	f.expectSelected(firstScan.Add(time.Minute), "2@b", "verify b", "digest 2")
	f.gates.VerifierDependsOnTime = false
	f.expectSelected(firstScan.Add(2*time.Hour), "2@b", "digest 2")
	f.gates.VerifierDependsOnTime = true
	f.expectSelected(firstScan.Add(2*time.Hour), "1@a", "verify b", "verify a")
}

// TestCurrentImageOf_IsSelectedWhenTheHistorySays checks that only an entry about the current image
// dates its selection.
func TestCurrentImageOf_IsSelectedWhenTheHistorySays(t *testing.T) {
	digest, at := "sha256:"+strings.Repeat("a", 64), metav1.NewTime(time.Unix(1_700_000_000, 0))
	for reason, tt := range map[string]struct {
		history []v1.HistoryEntry
		want    time.Time
	}{
		"its entry is the newest":       {[]v1.HistoryEntry{{Name: "app", Tag: "1", Digest: digest, SelectedAt: &at}}, at.Time},
		"the entry has another digest":  {[]v1.HistoryEntry{{Name: "app", Tag: "1", SelectedAt: &at}}, time.Time{}},
		"another client changed it":     {[]v1.HistoryEntry{{Name: "app", Tag: "0", SelectedAt: &at}, {Name: "app", Tag: "1", Digest: digest, SelectedAt: &at}}, time.Time{}},
		"an older controller wrote it":  {[]v1.HistoryEntry{{Name: "app", Tag: "1", Digest: digest}}, time.Time{}},
		"there is no history, as yet":   {nil, time.Time{}},
		"it is of another image's name": {[]v1.HistoryEntry{{Name: "old", Tag: "1", Digest: digest, SelectedAt: &at}}, time.Time{}},
	} {
		t.Run(reason, func(t *testing.T) {
			policy := &v1.ImagePolicy{Status: v1.ImagePolicyStatus{
				LatestRef: &v1.ImageRef{Name: "app", Image: "app", Tag: "1", Digest: digest}, History: tt.history,
			}}
			NewWithT(t).Expect(admission.CurrentImageOf(policy, "app").SelectedAt).To(Equal(tt.want))
		})
	}
}
