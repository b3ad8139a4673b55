// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/fluxcd/image-reflector-controller/internal/conditions"
)

// sharded lets the world's policy belong to the shard a, which has no
// repository. It returns how often the API server was asked.
func sharded(t *testing.T, w *fixture, repository labels.Set) *int {
	t.Helper()
	w.repo.Labels = repository
	empty := newReader(t)
	w.policies.Reader, w.policies.Access.Reader = empty, empty
	asked := 0
	live := interceptor.NewClient(newReader(t, w.repo).(client.WithWatch), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			asked++
			if _, metadata := obj.(*metav1.PartialObjectMetadata); !metadata {
				return errors.New("more than the metadata was asked for")
			}
			return c.Get(ctx, key, obj, opts...)
		},
	})
	w.policies.Shard = Shard{Selector: labels.SelectorFromSet(labels.Set{"shard": "a"}), APIReader: live}
	return &asked
}

func TestShard_ReportsRepositoryOfAnotherShard(t *testing.T) {
	for name, tc := range map[string]struct {
		labels  labels.Set
		change  func(*fixture)
		message string
		waits   bool
		asked   int
	}{
		"belongs to another one": {labels.Set{"shard": "b"}, nil, "ImageRepository 'ns/app' belongs to another controller than this ImagePolicy: its labels don't match 'shard=a'", true, 1},
		"belongs to none":        {nil, nil, "give both the same labels", true, 1},
		"does not exist":         {nil, func(w *fixture) { w.policy.Spec.ImageRepositoryRef.Name = "none" }, "'ns/none' not found: create it", true, 1},
		"is about to arrive":     {labels.Set{"shard": "a"}, nil, "", false, 1},
		"all are of one":         {labels.Set{"shard": "b"}, func(w *fixture) { w.policies.Shard.Selector = labels.Everything() }, "'ns/app' not found: create it", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			w := newFixture(t)
			asked := sharded(t, w, tc.labels)
			if tc.change != nil {
				tc.change(w)
			}
			waiting, ok := errors.AsType[*conditions.WaitingError](w.settle())
			g.Expect(ok).To(Equal(tc.waits))
			g.Expect(*asked).To(Equal(tc.asked))
			if ok {
				g.Expect(waiting.Reason).To(Equal(meta.DependencyNotReadyReason))
				g.Expect(waiting.Error()).To(ContainSubstring(tc.message))
				g.Expect(waiting.After).To(Equal(30 * time.Second))
			}
		})
	}
}

// TestShard_KeepsMovedPolicyReady shows that a policy which arrives before its
// repository says nothing, and does when that lasts.
func TestShard_KeepsMovedPolicyReady(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	w.scanned(g, "1.0.0")
	g.Expect(w.settle()).To(Succeed())
	before := w.policy.DeepCopy()

	here := w.policies.Reader
	sharded(t, w, labels.Set{"shard": "b"})
	deferred, ok := errors.AsType[*conditions.DeferredError](w.settle())
	g.Expect(ok).To(BeTrue())
	g.Expect(deferred.After).To(Equal(30 * time.Second))
	g.Expect(w.policy).To(Equal(before))

	w.policies.Reader = here
	g.Expect(w.settle()).To(Succeed())
	g.Expect(w.policies.missing.Get(client.ObjectKeyFromObject(w.policy))).To(BeZero(), "the next move has its own time")

	sharded(t, w, labels.Set{"shard": "b"})
	_, ok = errors.AsType[*conditions.DeferredError](w.settle())
	g.Expect(ok).To(BeTrue())
	w.policies.missing.Update(client.ObjectKeyFromObject(w.policy), func(time.Time, bool) time.Time { return time.Now().Add(-30 * time.Second) })
	g.Expect(w.settle()).To(HaveOccurred())
	g.Expect(apimeta.IsStatusConditionFalse(w.policy.Status.Conditions, meta.ReadyCondition)).To(BeTrue())
	g.Expect(w.policy.Status.LatestRef).To(Equal(before.Status.LatestRef))

	g.Expect(w.policies.Forget(t.Context(), client.ObjectKeyFromObject(w.policy))).To(Succeed())
	g.Expect(w.policies.missing.Get(client.ObjectKeyFromObject(w.policy))).To(BeZero())
}

func TestShard_RetriesOnAPIError(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	sharded(t, w, nil)
	down := errors.New("API server down")
	w.policies.Shard.APIReader = interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return down
		},
	})
	_, err := w.policies.Work(t.Context(), w.policy, noBegin)
	g.Expect(err).To(MatchError(down))
	_, waiting := errors.AsType[*conditions.WaitingError](err)
	g.Expect(waiting).To(BeFalse(), "nobody knows whether it exists")
}
