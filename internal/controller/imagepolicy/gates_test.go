// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// pass lets time pass. Inside of a bubble that takes none.
func pass(d time.Duration) { <-time.After(d) }

// rescan is a scan that finds the tags, after those before it.
func (w *fixture) rescan(g Gomega, tags ...string) {
	previous, _ := w.store.Get(context.Background(), store.KeyOf(w.repo))
	snapshot := scan.Next(previous, w.repo.Spec.Image, tags, time.Now())
	g.Expect(w.store.Put(context.Background(), store.KeyOf(w.repo), snapshot)).To(Succeed())
	w.repo.Status.ObservedImage = snapshot.Image
	w.repo.Status.LastScanResult = &v1.ScanResult{Revision: snapshot.Revision(), TagCount: len(snapshot.Tags)}
	w.saveRepository(g)
}

// told returns the latest image, and what became of the candidates.
func (w *fixture) told() string {
	text := "nothing"
	if ref := w.policy.Status.LatestRef; ref != nil {
		text = ref.Tag
	}
	for _, c := range w.policy.Status.Candidates {
		text += fmt.Sprintf("; %s %s", c.Tag, c.Verdict)
		if c.Gate != "" {
			text += " " + c.Gate
		}
	}
	return text
}

// newGatedSelector runs a test in a world whose policy reflects digests, while no time passes
// by itself.
func gated(t *testing.T, change func(*v1.ImagePolicySpec), test func(g *WithT, w *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t)
		w.policy.Spec.DigestReflectionPolicy = v1.ReflectIfNotPresent
		change(&w.policy.Spec)
		test(NewWithT(t), w)
	})
}

var longAgo = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)

func TestGates_EvaluateOnlyBestCandidate(t *testing.T) {
	gated(t, func(spec *v1.ImagePolicySpec) { spec.Platforms = []string{"linux/amd64"} }, func(g *WithT, w *fixture) {
		for _, tag := range []string{"1.0.0", "1.1.0", "1.2.0"} {
			w.put(tag, "linux", "amd64", longAgo)
		}
		w.rescan(g, "1.0.0", "1.1.0", "1.2.0")
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.told()).To(Equal("1.2.0; 1.2.0 Passed"))
		g.Expect(w.asked()).To(Equal([]string{"digest 1.2.0", "manifest " + w.images["1.2.0"].digest, "blob"}))
		g.Expect(w.settle()).To(Succeed())
		w.policies.evaluations = reconcile.PerObject[evaluationMemory]{} // a new process
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.asked()).To(BeEmpty(), "what passed is known")

		w.policy.Spec.DigestReflectionPolicy = v1.ReflectAlways
		w.policies.digestDelays.clear(w.policy)
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.asked()).To(Equal([]string{"digest 1.2.0"}), "Always looks whether the tag moved")
		w.policy.Spec.DigestReflectionPolicy = v1.ReflectNever
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.policy.Status.LatestRef.Digest).To(BeEmpty())
		g.Expect(w.asked()).To(BeEmpty(), "the candidates tell the digest that passed")

		w.policy.Spec.Platforms = nil
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.policy.Status.Candidates).To(BeEmpty())
	})
}

func TestMinimumAge_SelectsTagOnceOldEnough(t *testing.T) {
	minimum := func(spec *v1.ImagePolicySpec) { spec.MinimumAge = &metav1.Duration{Duration: 72 * time.Hour} }
	gated(t, minimum, func(g *WithT, w *fixture) {
		young := time.Now().Add(-time.Hour)
		w.put("1.0.0", "linux", "amd64", longAgo)
		w.put("1.1.0", "linux", "amd64", young)
		w.rescan(g, "1.0.0", "1.1.0")
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.told()).To(Equal("1.0.0; 1.1.0 Pending minimumAge; 1.0.0 Passed"), "the first scan goes by what images say")
		g.Expect(w.policy.Status.Candidates[0].EligibleAt.Time).To(BeTemporally("~", young.Add(72*time.Hour), time.Second))

		pass(10 * time.Hour)
		w.put("1.2.0", "linux", "amd64", longAgo) // as a publisher may say who wants it out at once
		w.rescan(g, "1.0.0", "1.1.0", "1.2.0")
		w.asked()
		result, err := w.policies.Work(context.Background(), w.policy, noBegin)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(w.told()).To(Equal("1.0.0; 1.2.0 Pending minimumAge; 1.1.0 Pending minimumAge; 1.0.0 Passed"))
		g.Expect(w.asked()).To(Equal([]string{"digest 1.2.0"}), "it was seen, and needs not be read")
		g.Expect(result.After).To(BeNumerically("~", 61*time.Hour, time.Second), "when 1.1.0 is old enough")

		pass(result.After)
		result, err = w.policies.Work(context.Background(), w.policy, noBegin)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(w.told()).To(Equal("1.1.0; 1.2.0 Pending minimumAge; 1.1.0 Passed"))
		g.Expect(w.asked()).To(Equal([]string{"digest 1.1.0"}), "is it still the same?")
		g.Expect(result.After).To(BeNumerically("~", 11*time.Hour, 2*time.Second))

		w.put("1.2.0", "linux", "amd64", longAgo) // the same content, but for the time
		moved := w.put("1.2.0", "linux", "arm64", longAgo)
		pass(result.After)
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.told()).To(Equal("1.1.0; 1.2.0 Pending minimumAge; 1.1.0 Passed"), "it was moved meanwhile, and begins anew")
		pass(72 * time.Hour)
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.policy.Status.LatestRef.Digest).To(Equal(moved))
	})
}

func TestVerify_SetsSourceVerifiedCondition(t *testing.T) {
	signed := func(spec *v1.ImagePolicySpec) { spec.Verify = &v1.ImageVerification{Provider: v1.VerifyCosign} }
	gated(t, signed, func(g *WithT, w *fixture) {
		source := func() *metav1.Condition {
			return apimeta.FindStatusCondition(w.policy.Status.Conditions, v1.SourceVerifiedCondition)
		}
		w.key = "alice"
		old := w.put("1.0.0", "linux", "amd64", longAgo)
		w.put("1.1.0", "linux", "amd64", longAgo)
		w.rescan(g, "1.0.0", "1.1.0")
		g.Expect(conditions.Reason(w.settle())).To(Equal(v1.NoTagSelectedReason))
		g.Expect(w.told()).To(Equal("nothing; 1.1.0 Rejected verify; 1.0.0 Rejected verify"))
		g.Expect(source().Status).To(Equal(metav1.ConditionFalse))
		g.Expect(source().Reason).To(Equal(v1.VerificationErrorReason))

		w.signed = map[string]string{old: "alice"}
		w.policy.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
		pass(time.Second)
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.told()).To(Equal("1.0.0; 1.1.0 Rejected verify; 1.0.0 Passed"), "a request looks at all again")
		g.Expect(source().Status).To(Equal(metav1.ConditionTrue))
		g.Expect(source().Message).To(Equal("1.0.0@" + old + " is verified: signed by alice"))
		w.asked()
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.asked()).To(BeEmpty())

		w.fault = conditions.Retry(v1.ReadOperationFailedReason, errors.New("registry down"))
		pass(time.Hour)
		g.Expect(w.settle()).To(MatchError("registry down"))
		g.Expect(w.told()).To(Equal("1.0.0; 1.1.0 Rejected verify; 1.0.0 Passed"), "a failure is no verdict")
		g.Expect(source().Status).To(Equal(metav1.ConditionTrue))
		w.fault = nil

		w.signed[w.images["1.1.0"].digest] = "alice" // a signature that came late
		pass(time.Hour)
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.told()).To(Equal("1.1.0; 1.1.0 Passed"))

		w.key = "bob" // whose keys are those of the Secret now
		w.signed[old] = "bob"
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.told()).To(Equal("1.0.0; 1.1.0 Rejected verify; 1.0.0 Passed"), "what alice signed counts no more")

		w.policy.Spec.Verify = nil
		g.Expect(w.settle()).To(Succeed())
		g.Expect(source()).To(BeNil())
	})
}

func TestVerify_RetainsImageIfTagMovesToUnsigned(t *testing.T) {
	always := func(spec *v1.ImagePolicySpec) {
		spec.Verify, spec.DigestReflectionPolicy = &v1.ImageVerification{}, v1.ReflectAlways
	}
	gated(t, always, func(g *WithT, w *fixture) {
		w.key = "alice"
		good := w.put("1.0.0", "linux", "amd64", longAgo)
		w.signed = map[string]string{good: "alice"}
		w.rescan(g, "1.0.0")
		g.Expect(w.settle()).To(Succeed())
		w.put("1.0.0", "linux", "amd64", longAgo.Add(time.Hour))
		w.asked()
		for range 5 {
			pass(time.Hour)
			g.Expect(w.settle()).To(Succeed())
			g.Expect(w.told()).To(Equal("1.0.0; 1.0.0 Retained verify"))
			g.Expect(w.policy.Status.LatestRef.Digest).To(Equal(good))
		}
		g.Expect(w.asked()).To(Equal([]string{
			"digest 1.0.0", "verify", "digest 1.0.0", "verify", "digest 1.0.0", "verify", "digest 1.0.0", "digest 1.0.0", "verify",
		}), "its signatures are looked at ever less often")
	})
}

// TestVerify_ContinuesSearchOverManyCandidates tests that a search over many candidates goes on where
// it stopped, and comes to an end.
func TestVerify_ContinuesSearchOverManyCandidates(t *testing.T) {
	gated(t, func(spec *v1.ImagePolicySpec) { spec.Verify = &v1.ImageVerification{} }, func(g *WithT, w *fixture) {
		w.key = "alice"
		tags := []string{"1.0.0"}
		w.signed = map[string]string{w.put("1.0.0", "linux", "amd64", longAgo): "alice"}
		for i := range 50 {
			tags = append(tags, fmt.Sprintf("2.%d.0", i))
			w.put(tags[i+1], "linux", "amd64", longAgo)
		}
		w.rescan(g, tags...)
		for range 2 { // the second time because of a request
			searches := 0
			err := w.settle()
			for ; err != nil; err = w.settle() {
				_, deferred := errors.AsType[*conditions.DeferredError](err)
				g.Expect(deferred).To(BeTrue(), err.Error())
				pass(time.Millisecond)
				searches++
			}
			g.Expect(searches).To(Equal(3), "51 candidates, 16 at a time")
			g.Expect(w.policy.Status.LatestRef.Tag).To(Equal("1.0.0"))
			g.Expect(w.policy.Status.Candidates).To(HaveLen(admission.MaxReported))
			g.Expect(w.policy.Status.Candidates[admission.MaxReported-1].Verdict).To(Equal(v1.CandidatePassed))
			w.policy.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
			pass(time.Second)
		}
		g.Expect(w.asked()).To(HaveLen(2*51+2*50), "a HEAD and a verification each, but for what passed before")
	})
}
