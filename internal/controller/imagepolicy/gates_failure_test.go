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

// fullStore is a store that takes no more facts.
type fullStore struct{ TagStore }

var errFull = errors.New("no space left on device")

func (fullStore) PutFacts(context.Context, store.Key, map[string]admission.ImageInfo) error {
	return errFull
}

// expectRetry expects an error to be told and to be retried with a growing delay.
func expectRetry(g *WithT, err error) {
	g.Expect(err).To(MatchError(errFull))
	_, deferred := errors.AsType[*conditions.DeferredError](err)
	g.Expect(deferred).To(BeFalse(), "the registry is asked for the same again, at once and for ever")
}

// TestGates_FailIfImageInfoCannotBeStored tests that a search which can't keep what it learned is
// a failure: it would ask for the same again and again.
func TestGates_FailIfImageInfoCannotBeStored(t *testing.T) {
	many := func(g *WithT, w *fixture) {
		var tags []string
		for i := range max(admission.Budget, maxTimeReads) + 1 {
			tags = append(tags, fmt.Sprintf("1.%d.0", i))
			w.put(tags[i], "linux", "amd64", longAgo)
		}
		w.rescan(g, tags...)
		w.policies.Store = fullStore{w.store}
	}
	t.Run("of more candidates than are judged at a time", func(t *testing.T) {
		gated(t, func(spec *v1.ImagePolicySpec) { spec.Verify = &v1.ImageVerification{} }, func(g *WithT, w *fixture) {
			w.key = "alice"
			many(g, w)
			expectRetry(g, w.settle())
		})
	})
	t.Run("while a registry is busy", func(t *testing.T) {
		gated(t, func(spec *v1.ImagePolicySpec) { spec.Verify = &v1.ImageVerification{} }, func(g *WithT, w *fixture) {
			many(g, w)
			w.fault = conditions.Deferred(time.Second, &ratelimit.BusyError{After: time.Second})
			expectRetry(g, w.settle())
		})
	})
	t.Run("of times", func(t *testing.T) {
		newest := func(spec *v1.ImagePolicySpec) {
			spec.Policy = v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: v1.TimeCreated}}
		}
		gated(t, newest, func(g *WithT, w *fixture) {
			many(g, w)
			expectRetry(g, w.settle())
		})
	})
}

// TestMinimumAge_KeepsTagSelectedWithoutDigest: nobody knows what its tag
// pointed at when it was selected.
func TestMinimumAge_KeepsTagSelectedWithoutDigest(t *testing.T) {
	for _, policy := range []v1.ReflectionPolicy{v1.ReflectNever, v1.ReflectIfNotPresent, v1.ReflectAlways} {
		t.Run(string(policy), func(t *testing.T) {
			never := func(spec *v1.ImagePolicySpec) { spec.DigestReflectionPolicy = v1.ReflectNever }
			gated(t, never, func(g *WithT, w *fixture) {
				w.put("1.0.0", "linux", "amd64", longAgo)
				w.put("1.1.0", "linux", "amd64", longAgo)
				w.rescan(g, "1.0.0")
				pass(time.Hour)
				w.rescan(g, "1.0.0", "1.1.0")
				g.Expect(w.settle()).To(Succeed())
				g.Expect(w.told()).To(Equal("1.1.0"))

				w.policy.Generation++
				w.policy.Spec.MinimumAge = &metav1.Duration{Duration: 72 * time.Hour}
				w.policy.Spec.DigestReflectionPolicy = policy
				for range 3 {
					g.Expect(w.settle()).To(Succeed())
					g.Expect(w.told()).To(Equal("1.1.0; 1.1.0 Passed"))
					pass(time.Minute)
				}
			})
		})
	}
}

// TestGates_RecheckRetainedImageByDigestOnly: what is known of it is not asked for again, in a new
// process either.
func TestGates_RecheckRetainedImageByDigestOnly(t *testing.T) {
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
		w.policies.digestDelays.clear(w.policy)
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.told()).To(Equal("1.0.0; 1.0.0 Retained verify"))

		w.policies.evaluations = reconcile.PerObject[evaluationMemory]{} // a new process
		w.asked()
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.asked()).To(Equal([]string{"digest 1.0.0", "verify"}), "whether what is kept still passes, is looked at once")
		for range 3 {
			pass(time.Second)
			g.Expect(w.settle()).To(Succeed())
		}
		g.Expect(w.told()).To(Equal("1.0.0; 1.0.0 Retained verify"))
		g.Expect(w.asked()).To(Equal([]string{"digest 1.0.0", "digest 1.0.0", "digest 1.0.0"}))
	})
}

// TestVerify_RechecksAfterKeyChange: what is selected is not signed by the new keys when
// they come, and nothing else is. It is when it is signed.
func TestVerify_RechecksAfterKeyChange(t *testing.T) {
	gated(t, func(spec *v1.ImagePolicySpec) { spec.Verify = &v1.ImageVerification{} }, func(g *WithT, w *fixture) {
		w.key = "alice"
		digest := w.put("1.0.0", "linux", "amd64", longAgo)
		w.signed = map[string]string{digest: "alice"}
		w.rescan(g, "1.0.0")
		g.Expect(w.settle()).To(Succeed())

		w.key = "bob"
		for range 3 {
			g.Expect(conditions.Reason(w.settle())).To(Equal(v1.NoTagSelectedReason))
			g.Expect(w.told()).To(Equal("1.0.0; 1.0.0 Rejected verify"))
			g.Expect(w.policy.Status.LatestRef.Digest).To(Equal(digest))
		}
		w.signed[digest] = "bob"
		pass(time.Hour)
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.told()).To(Equal("1.0.0; 1.0.0 Passed"))
	})
}

// TestGates_DiscardImageInfoIfImageIsReplaced: what was learned of its tags is not taken for
// what is known of those of the other image.
func TestGates_DiscardImageInfoIfImageIsReplaced(t *testing.T) {
	for name, change := range map[string]func(*v1.ImagePolicySpec){
		"gates": func(spec *v1.ImagePolicySpec) { spec.Platforms = []string{"linux/amd64"} },
		"times": func(spec *v1.ImagePolicySpec) {
			spec.Policy = v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: v1.TimeCreated}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			gated(t, change, func(g *WithT, w *fixture) {
				w.put("1.0.0", "linux", "amd64", longAgo)
				w.rescan(g, "1.0.0")
				key := store.KeyOf(w.repo)
				w.policies.Auth = registry.AuthOptionsGetter(func(ctx context.Context, _ *v1.ImageRepository) (registry.AuthOptions, error) {
					other := scan.Next(scan.Snapshot{}, "ghcr.io/org/other", []string{"1.0.0"}, time.Now())
					return registry.AuthOptions{}, w.store.Put(ctx, key, other)
				})
				g.Expect(w.settle()).To(MatchError(errImageReplaced))
				g.Expect(w.store.Facts(context.Background(), key)).To(BeEmpty())
			})
		})
	}
}

// TestVerify_IgnoresForgedStatus: whatever somebody writes into a status, an image that passes is selected.
func TestVerify_IgnoresForgedStatus(t *testing.T) {
	gated(t, func(spec *v1.ImagePolicySpec) { spec.Verify = &v1.ImageVerification{} }, func(g *WithT, w *fixture) {
		w.key = "alice"
		good := w.put("1.0.0", "linux", "amd64", longAgo)
		bad := w.put("1.1.0", "linux", "amd64", longAgo)
		w.signed = map[string]string{good: "alice"}
		w.rescan(g, "1.0.0", "1.1.0")
		g.Expect(w.settle()).To(Succeed())
		for _, forged := range []v1.CandidateStatus{
			{Tag: "1.1.0", Digest: bad}, {Tag: "1.0.0", Digest: bad}, {Tag: "9.9.9", Digest: good},
			{Tag: "1.0.0", Digest: "sha512:abc"}, {Tag: "1.0.0", Digest: "nonsense"}, {Tag: "1.0.0"},
		} {
			forged.Verdict, forged.Message = v1.CandidatePassed, "signed by me"
			w.policy.Status.LatestRef.Tag, w.policy.Status.LatestRef.Digest = forged.Tag, forged.Digest
			w.policy.Status.Candidates = []v1.CandidateStatus{forged}
			_ = w.settle() // which may find that nothing passes, before it looks at what the tag points at
			pass(time.Hour)
			g.Expect(w.settle()).To(Succeed())
			g.Expect(w.told()).To(Equal("1.0.0; 1.1.0 Rejected verify; 1.0.0 Passed"))
			g.Expect(w.policy.Status.LatestRef.Digest).To(Equal(good))
		}
	})
}
