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
)

// sleep lets time pass, in the fake time of synctest.
func sleep(d time.Duration) { <-time.After(d) }

// rescan writes the tags to the store and the status of the repository, as the next scan does.
func (f *fixture) rescan(g Gomega, tags ...string) {
	previous, _ := f.store.Get(context.Background(), reconcile.StoreKey(f.repo))
	snapshot := scan.Next(previous, f.repo.Spec.Image, tags, time.Now())
	g.Expect(f.store.Put(context.Background(), reconcile.StoreKey(f.repo), snapshot)).To(Succeed())
	f.repo.Status.ObservedImage = snapshot.Image
	f.repo.Status.LastScanResult = &v1.ScanResult{Revision: snapshot.Revision(), TagCount: len(snapshot.Tags)}
	f.saveRepository(g)
}

// summary returns the latest tag, and the verdicts of the candidates.
func (f *fixture) summary() string {
	text := "nothing"
	if ref := f.policy.Status.LatestRef; ref != nil {
		text = ref.Tag
	}
	for _, c := range f.policy.Status.Candidates {
		text += fmt.Sprintf("; %s %s", c.Tag, c.Verdict)
		if c.Gate != "" {
			text += " " + c.Gate
		}
	}
	return text
}

// gated runs a test in fake time with a fixture whose policy reflects digests and has gates.
func gated(t *testing.T, change func(*v1.ImagePolicySpec), test func(g *WithT, f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.policy.Spec.DigestReflectionPolicy = v1.ReflectIfNotPresent
		change(&f.policy.Spec)
		test(NewWithT(t), f)
	})
}

var longAgo = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)

func TestGates_EvaluateOnlyBestCandidate(t *testing.T) {
	gated(t, func(spec *v1.ImagePolicySpec) { spec.Platforms = []string{"linux/amd64"} }, func(g *WithT, f *fixture) {
		for _, tag := range []string{"1.0.0", "1.1.0", "1.2.0"} {
			f.push(tag, "linux", "amd64", longAgo)
		}
		f.rescan(g, "1.0.0", "1.1.0", "1.2.0")
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.summary()).To(Equal("1.2.0; 1.2.0 Passed"))
		g.Expect(f.receivedRequests()).To(Equal([]string{"digest 1.2.0", "manifest " + f.images["1.2.0"].digest, "blob"}))
		g.Expect(f.reconcile()).To(Succeed())
		f.worker.evaluations = reconcile.PerObject[cachedEvaluation]{} // a new process
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.receivedRequests()).To(BeEmpty(), "the verdict is stored")

		f.policy.Spec.DigestReflectionPolicy = v1.ReflectAlways
		f.worker.digestDelays.clear(f.policy)
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.receivedRequests()).To(Equal([]string{"digest 1.2.0"}), "Always checks the digest of the tag")
		f.policy.Spec.DigestReflectionPolicy = v1.ReflectNever
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.policy.Status.LatestRef.Digest).To(BeEmpty())
		g.Expect(f.receivedRequests()).To(BeEmpty(), "the digest that passed is in the candidates")

		f.policy.Spec.Platforms = nil
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.policy.Status.Candidates).To(BeEmpty())
	})
}

func TestMinimumAge_SelectsTagOnceOldEnough(t *testing.T) {
	minimum := func(spec *v1.ImagePolicySpec) { spec.MinimumAge = &metav1.Duration{Duration: 72 * time.Hour} }
	gated(t, minimum, func(g *WithT, f *fixture) {
		young := time.Now().Add(-time.Hour)
		f.push("1.0.0", "linux", "amd64", longAgo)
		f.push("1.1.0", "linux", "amd64", young)
		f.rescan(g, "1.0.0", "1.1.0")
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.summary()).To(Equal("1.0.0; 1.1.0 Pending minimumAge; 1.0.0 Passed"), "tags of the first scan are as old as their images")
		g.Expect(f.policy.Status.Candidates[0].EligibleAt.Time).To(BeTemporally("~", young.Add(72*time.Hour), time.Second))

		sleep(10 * time.Hour)
		f.push("1.2.0", "linux", "amd64", longAgo) // a forged creation time
		f.rescan(g, "1.0.0", "1.1.0", "1.2.0")
		f.receivedRequests()
		result, err := f.worker.Work(context.Background(), f.policy, noProgress)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(f.summary()).To(Equal("1.0.0; 1.2.0 Pending minimumAge; 1.1.0 Pending minimumAge; 1.0.0 Passed"))
		g.Expect(f.receivedRequests()).To(Equal([]string{"digest 1.2.0"}), "the first-seen time is known, so the image is not read")
		g.Expect(result.After).To(BeNumerically("~", 61*time.Hour, time.Second), "when 1.1.0 is old enough")

		sleep(result.After)
		result, err = f.worker.Work(context.Background(), f.policy, noProgress)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(f.summary()).To(Equal("1.1.0; 1.2.0 Pending minimumAge; 1.1.0 Passed"))
		g.Expect(f.receivedRequests()).To(Equal([]string{"digest 1.1.0"}), "the digest is checked again")
		g.Expect(result.After).To(BeNumerically("~", 11*time.Hour, 2*time.Second))

		f.push("1.2.0", "linux", "amd64", longAgo) // the same image
		moved := f.push("1.2.0", "linux", "arm64", longAgo)
		sleep(result.After)
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.summary()).To(Equal("1.1.0; 1.2.0 Pending minimumAge; 1.1.0 Passed"), "the tag moved meanwhile, so its age starts again")
		sleep(72 * time.Hour)
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.policy.Status.LatestRef.Digest).To(Equal(moved))
	})
}

func TestVerify_SetsSourceVerifiedCondition(t *testing.T) {
	signed := func(spec *v1.ImagePolicySpec) { spec.Verify = &v1.ImageVerification{Provider: v1.VerifyCosign} }
	gated(t, signed, func(g *WithT, f *fixture) {
		source := func() *metav1.Condition {
			return apimeta.FindStatusCondition(f.policy.Status.Conditions, v1.SourceVerifiedCondition)
		}
		f.key = "alice"
		old := f.push("1.0.0", "linux", "amd64", longAgo)
		f.push("1.1.0", "linux", "amd64", longAgo)
		f.rescan(g, "1.0.0", "1.1.0")
		g.Expect(conditions.Reason(f.reconcile())).To(Equal(v1.NoTagSelectedReason))
		g.Expect(f.summary()).To(Equal("nothing; 1.1.0 Rejected verify; 1.0.0 Rejected verify"))
		g.Expect(source().Status).To(Equal(metav1.ConditionFalse))
		g.Expect(source().Reason).To(Equal(v1.VerificationErrorReason))

		f.signed = map[string]string{old: "alice"}
		f.policy.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
		sleep(time.Second)
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.summary()).To(Equal("1.0.0; 1.1.0 Rejected verify; 1.0.0 Passed"), "a request rechecks all candidates")
		g.Expect(source().Status).To(Equal(metav1.ConditionTrue))
		g.Expect(source().Message).To(Equal("1.0.0@" + old + " is verified: signed by alice"))
		f.receivedRequests()
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.receivedRequests()).To(BeEmpty())

		f.fault = conditions.Retry(v1.ReadOperationFailedReason, errors.New("registry down"))
		sleep(time.Hour)
		g.Expect(f.reconcile()).To(MatchError("registry down"))
		g.Expect(f.summary()).To(Equal("1.0.0; 1.1.0 Rejected verify; 1.0.0 Passed"), "a failure changes no verdict")
		g.Expect(source().Status).To(Equal(metav1.ConditionTrue))
		f.fault = nil

		f.signed[f.images["1.1.0"].digest] = "alice" // a late signature
		sleep(time.Hour)
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.summary()).To(Equal("1.1.0; 1.1.0 Passed"))

		f.key = "bob" // the Secret has other keys
		f.signed[old] = "bob"
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.summary()).To(Equal("1.0.0; 1.1.0 Rejected verify; 1.0.0 Passed"), "the signature of alice is no longer accepted")

		f.policy.Spec.Verify = nil
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(source()).To(BeNil())
	})
}

func TestVerify_RetainsImageIfTagMovesToUnsigned(t *testing.T) {
	always := func(spec *v1.ImagePolicySpec) {
		spec.Verify, spec.DigestReflectionPolicy = &v1.ImageVerification{}, v1.ReflectAlways
	}
	gated(t, always, func(g *WithT, f *fixture) {
		f.key = "alice"
		good := f.push("1.0.0", "linux", "amd64", longAgo)
		f.signed = map[string]string{good: "alice"}
		f.rescan(g, "1.0.0")
		g.Expect(f.reconcile()).To(Succeed())
		f.push("1.0.0", "linux", "amd64", longAgo.Add(time.Hour))
		f.receivedRequests()
		for range 5 {
			sleep(time.Hour)
			g.Expect(f.reconcile()).To(Succeed())
			g.Expect(f.summary()).To(Equal("1.0.0; 1.0.0 Retained verify"))
			g.Expect(f.policy.Status.LatestRef.Digest).To(Equal(good))
		}
		g.Expect(f.receivedRequests()).To(Equal([]string{
			"digest 1.0.0", "verify", "digest 1.0.0", "verify", "digest 1.0.0", "verify", "digest 1.0.0", "digest 1.0.0", "verify",
		}), "signatures are rechecked with increasing intervals")
	})
}

// TestVerify_ContinuesSearchOverManyCandidates checks that an evaluation of many candidates
// continues where it stopped, and finishes.
func TestVerify_ContinuesSearchOverManyCandidates(t *testing.T) {
	gated(t, func(spec *v1.ImagePolicySpec) { spec.Verify = &v1.ImageVerification{} }, func(g *WithT, f *fixture) {
		f.key = "alice"
		tags := []string{"1.0.0"}
		f.signed = map[string]string{f.push("1.0.0", "linux", "amd64", longAgo): "alice"}
		for i := range 50 {
			tags = append(tags, fmt.Sprintf("2.%d.0", i))
			f.push(tags[i+1], "linux", "amd64", longAgo)
		}
		f.rescan(g, tags...)
		for range 2 { // the second time after a reconcile request
			searches := 0
			err := f.reconcile()
			for ; err != nil; err = f.reconcile() {
				_, deferred := errors.AsType[*conditions.DeferredError](err)
				g.Expect(deferred).To(BeTrue(), err.Error())
				sleep(time.Millisecond)
				searches++
			}
			g.Expect(searches).To(Equal(3), "51 candidates, 16 at a time")
			g.Expect(f.policy.Status.LatestRef.Tag).To(Equal("1.0.0"))
			g.Expect(f.policy.Status.Candidates).To(HaveLen(admission.MaxReported))
			g.Expect(f.policy.Status.Candidates[admission.MaxReported-1].Verdict).To(Equal(v1.CandidatePassed))
			f.policy.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
			sleep(time.Second)
		}
		g.Expect(f.receivedRequests()).To(HaveLen(2*51+2*50), "a HEAD and a verification each, except for the one that passed before")
	})
}

// TestGates_RankUnlistedTag checks where a current tag that is missing from the list ranks among
// the listed candidates: above the one that is selected, and below those that were rejected.
func TestGates_RankUnlistedTag(t *testing.T) {
	for name, tc := range map[string]struct {
		architecture string   // of the image of the unlisted tag
		tags         []string // in the registry
		want         string
	}{
		"it passes":         {"amd64", []string{"1.2.0"}, "1.2.0; 1.3.0 Rejected platforms; 1.2.0 Passed"},
		"it is rejected":    {"arm64", []string{"1.2.0"}, "1.1.0; 1.3.0 Rejected platforms; 1.2.0 Rejected platforms; 1.1.0 Passed"},
		"it does not exist": {"amd64", nil, "1.1.0; 1.3.0 Rejected platforms; 1.1.0 Passed"},
	} {
		t.Run(name, func(t *testing.T) {
			platforms := func(spec *v1.ImagePolicySpec) { spec.Platforms = []string{"linux/amd64"} }
			gated(t, platforms, func(g *WithT, f *fixture) {
				f.push("1.1.0", "linux", "amd64", longAgo)
				f.push("1.2.0", "linux", tc.architecture, longAgo)
				f.push("1.3.0", "linux", "arm64", longAgo)
				f.rescan(g, "1.1.0", "1.3.0")
				f.tags = tc.tags
				f.policy.Status.LatestRef = &v1.ImageRef{Name: f.repo.Spec.Image, Image: f.repo.Spec.Image, Tag: "1.2.0"}
				g.Expect(f.reconcile()).To(Succeed())
				g.Expect(f.summary()).To(Equal(tc.want))
				g.Expect(f.reconcile()).To(Succeed())
				g.Expect(f.summary()).To(HavePrefix(tc.want[:5]), "the selection is stable")
			})
		})
	}
}
