// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// fullStore is a store that fails to store facts.
type fullStore struct{ TagStore }

var errFull = errors.New("no space left on device")

func (fullStore) PutFacts(context.Context, store.Key, map[string]admission.ImageInfo) error {
	return errFull
}

// expectRetry expects an error that is retried with exponential backoff.
func expectRetry(g *WithT, err error) {
	g.Expect(err).To(MatchError(errFull))
	_, deferred := errors.AsType[*conditions.DeferredError](err)
	g.Expect(deferred).To(BeFalse(), "the same requests would be repeated without a delay")
}

// TestGates_FailIfImageInfoCannotBeStored checks that an evaluation fails if its facts can't be
// stored: otherwise it would send the same requests again and again.
func TestGates_FailIfImageInfoCannotBeStored(t *testing.T) {
	many := func(g *WithT, f *fixture) {
		var tags []string
		for i := range max(admission.Budget, maxTimeReads) + 1 {
			tags = append(tags, fmt.Sprintf("1.%d.0", i))
			f.push(tags[i], "linux", "amd64", longAgo)
		}
		f.rescan(g, tags...)
		f.worker.Store = fullStore{f.store}
	}
	t.Run("more candidates than the budget", func(t *testing.T) {
		gated(t, func(spec *v1.ImagePolicySpec) { spec.Verify = &v1.ImageVerification{} }, func(g *WithT, f *fixture) {
			f.key = "alice"
			many(g, f)
			expectRetry(g, f.reconcile())
		})
	})
	t.Run("a busy registry", func(t *testing.T) {
		gated(t, func(spec *v1.ImagePolicySpec) { spec.Verify = &v1.ImageVerification{} }, func(g *WithT, f *fixture) {
			many(g, f)
			f.fault = conditions.Deferred(time.Second, &ratelimit.BusyError{After: time.Second})
			expectRetry(g, f.reconcile())
		})
	})
	t.Run("creation times", func(t *testing.T) {
		newest := func(spec *v1.ImagePolicySpec) {
			spec.Policy = v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: v1.TimeCreated}}
		}
		gated(t, newest, func(g *WithT, f *fixture) {
			many(g, f)
			expectRetry(g, f.reconcile())
		})
	})
}

// TestMinimumAge_KeepsTagSelectedWithoutDigest checks that a current image without a digest is
// kept: it is unknown which image its tag pointed at when it was selected.
func TestMinimumAge_KeepsTagSelectedWithoutDigest(t *testing.T) {
	for _, policy := range []v1.ReflectionPolicy{v1.ReflectNever, v1.ReflectIfNotPresent, v1.ReflectAlways} {
		t.Run(string(policy), func(t *testing.T) {
			never := func(spec *v1.ImagePolicySpec) { spec.DigestReflectionPolicy = v1.ReflectNever }
			gated(t, never, func(g *WithT, f *fixture) {
				f.push("1.0.0", "linux", "amd64", longAgo)
				f.push("1.1.0", "linux", "amd64", longAgo)
				f.rescan(g, "1.0.0")
				sleep(time.Hour)
				f.rescan(g, "1.0.0", "1.1.0")
				g.Expect(f.reconcile()).To(Succeed())
				g.Expect(f.summary()).To(Equal("1.1.0"))

				f.policy.Generation++
				f.policy.Spec.MinimumAge = &metav1.Duration{Duration: 72 * time.Hour}
				f.policy.Spec.DigestReflectionPolicy = policy
				for range 3 {
					g.Expect(f.reconcile()).To(Succeed())
					g.Expect(f.summary()).To(Equal("1.1.0; 1.1.0 Passed"))
					sleep(time.Minute)
				}
			})
		})
	}
}

// TestGates_RecheckRetainedImageByDigestOnly checks that only the digest of a retained image is
// requested again, in a new process after one verification.
func TestGates_RecheckRetainedImageByDigestOnly(t *testing.T) {
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
		f.worker.digestDelays.clear(f.policy)
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.summary()).To(Equal("1.0.0; 1.0.0 Retained verify"))

		f.worker.evaluations = reconcile.PerObject[cachedEvaluation]{} // a new process
		f.receivedRequests()
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.receivedRequests()).To(Equal([]string{"digest 1.0.0", "verify"}), "the retained image is verified once")
		for range 3 {
			sleep(time.Second)
			g.Expect(f.reconcile()).To(Succeed())
		}
		g.Expect(f.summary()).To(Equal("1.0.0; 1.0.0 Retained verify"))
		g.Expect(f.receivedRequests()).To(Equal([]string{"digest 1.0.0", "digest 1.0.0", "digest 1.0.0"}))
	})
}

// TestVerify_RechecksAfterKeyChange checks that the current image is rejected while it is not
// signed by the new keys, and is selected again once it is.
func TestVerify_RechecksAfterKeyChange(t *testing.T) {
	gated(t, func(spec *v1.ImagePolicySpec) { spec.Verify = &v1.ImageVerification{} }, func(g *WithT, f *fixture) {
		f.key = "alice"
		digest := f.push("1.0.0", "linux", "amd64", longAgo)
		f.signed = map[string]string{digest: "alice"}
		f.rescan(g, "1.0.0")
		g.Expect(f.reconcile()).To(Succeed())

		f.key = "bob"
		for range 3 {
			g.Expect(conditions.Reason(f.reconcile())).To(Equal(v1.NoTagSelectedReason))
			g.Expect(f.summary()).To(Equal("1.0.0; 1.0.0 Rejected verify"))
			g.Expect(f.policy.Status.LatestRef.Digest).To(Equal(digest))
		}
		f.signed[digest] = "bob"
		sleep(time.Hour)
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.summary()).To(Equal("1.0.0; 1.0.0 Passed"))
	})
}

// TestGates_DiscardImageInfoIfImageIsReplaced checks that facts about the old image are not stored
// for the tags of the new one.
func TestGates_DiscardImageInfoIfImageIsReplaced(t *testing.T) {
	for name, change := range map[string]func(*v1.ImagePolicySpec){
		"gates": func(spec *v1.ImagePolicySpec) { spec.Platforms = []string{"linux/amd64"} },
		"times": func(spec *v1.ImagePolicySpec) {
			spec.Policy = v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: v1.TimeCreated}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			gated(t, change, func(g *WithT, f *fixture) {
				f.push("1.0.0", "linux", "amd64", longAgo)
				f.rescan(g, "1.0.0")
				key := reconcile.StoreKey(f.repo)
				f.worker.Auth = registry.AuthOptionsGetter(func(ctx context.Context, _ *v1.ImageRepository) (registry.AuthOptions, error) {
					other := scan.Next(scan.Snapshot{}, "ghcr.io/org/other", []string{"1.0.0"}, time.Now())
					return registry.AuthOptions{}, f.store.Put(ctx, key, other)
				})
				g.Expect(f.reconcile()).To(MatchError(errImageReplaced))
				g.Expect(f.store.Facts(context.Background(), key)).To(BeEmpty())
			})
		})
	}
}

// replacingStore replaces the image of a repository before facts are read.
type replacingStore struct {
	TagStore
	replace func()
}

func (s *replacingStore) Facts(ctx context.Context, key store.Key) (map[string]admission.ImageInfo, error) {
	s.replace()
	return s.TagStore.Facts(ctx, key)
}

func (s *replacingStore) FactsOf(ctx context.Context, key store.Key, tags ...string) (map[string]admission.ImageInfo, bool, error) {
	s.replace()
	return s.TagStore.FactsOf(ctx, key, tags...)
}

// TestGates_DiscardStoredFactsIfImageIsReplaced lets a policy read the facts of the image that
// replaces its own. They need no request, and must not be used for the tags of the old image.
func TestGates_DiscardStoredFactsIfImageIsReplaced(t *testing.T) {
	for name, change := range map[string]func(*v1.ImagePolicySpec){
		"gates": func(spec *v1.ImagePolicySpec) { spec.Platforms = []string{"linux/amd64"} },
		"times": func(spec *v1.ImagePolicySpec) {
			spec.Policy = v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: v1.TimeCreated}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			gated(t, change, func(g *WithT, f *fixture) {
				f.push("1.0.0", "linux", "amd64", longAgo)
				f.rescan(g, "1.0.0")
				g.Expect(f.reconcile()).To(Succeed())
				status := f.policy.Status.DeepCopy()
				f.receivedRequests()
				key := reconcile.StoreKey(f.repo)
				facts, err := f.store.Facts(t.Context(), key)
				g.Expect(err).NotTo(HaveOccurred())
				fact := facts["1.0.0"]
				fact.Digest, fact.Platforms = "sha256:other", []string{"plan9/arm"}
				other := scan.Next(scan.Snapshot{}, "ghcr.io/org/other", []string{"1.0.0"}, time.Now())
				f.worker.Store = &replacingStore{f.store, func() {
					g.Expect(f.store.Put(t.Context(), key, other)).To(Succeed())
					g.Expect(f.store.PutFacts(t.Context(), key, map[string]admission.ImageInfo{"1.0.0": fact})).To(Succeed())
				}}
				g.Expect(f.reconcile()).To(MatchError(errImageReplaced))
				g.Expect(f.policy.Status.Candidates).To(Equal(status.Candidates))
				g.Expect(f.policy.Status.LatestRef).To(Equal(status.LatestRef))
				g.Expect(f.receivedRequests()).To(BeEmpty(), "all facts are stored")
			})
		})
	}
}

// TestVerify_IgnoresForgedStatus checks that an image that passes is selected, whatever was written
// to the status.
func TestVerify_IgnoresForgedStatus(t *testing.T) {
	gated(t, func(spec *v1.ImagePolicySpec) { spec.Verify = &v1.ImageVerification{} }, func(g *WithT, f *fixture) {
		f.key = "alice"
		good := f.push("1.0.0", "linux", "amd64", longAgo)
		bad := f.push("1.1.0", "linux", "amd64", longAgo)
		f.signed = map[string]string{good: "alice"}
		f.rescan(g, "1.0.0", "1.1.0")
		g.Expect(f.reconcile()).To(Succeed())
		for _, forged := range []v1.CandidateStatus{
			{Tag: "1.1.0", Digest: bad}, {Tag: "1.0.0", Digest: bad}, {Tag: "9.9.9", Digest: good},
			{Tag: "1.0.0", Digest: "sha512:abc"}, {Tag: "1.0.0", Digest: "nonsense"}, {Tag: "1.0.0"},
		} {
			forged.Verdict, forged.Message = v1.CandidatePassed, "signed by me"
			f.policy.Status.LatestRef.Tag, f.policy.Status.LatestRef.Digest = forged.Tag, forged.Digest
			f.policy.Status.Candidates = []v1.CandidateStatus{forged}
			_ = f.reconcile() // no tag may be selected before the digest of the tag is checked
			sleep(time.Hour)
			g.Expect(f.reconcile()).To(Succeed())
			g.Expect(f.summary()).To(Equal("1.0.0; 1.1.0 Rejected verify; 1.0.0 Passed"))
			g.Expect(f.policy.Status.LatestRef.Digest).To(Equal(good))
		}
	})
}
