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

// sharded moves the policy to the shard a, whose cache has no repository, and sets the labels of
// the repository. It returns the number of requests to the API server.
func sharded(t *testing.T, f *fixture, repository labels.Set) *int {
	t.Helper()
	f.repo.Labels = repository
	empty := newReader(t)
	f.worker.Reader, f.worker.Access.Reader = empty, empty
	requests := 0
	live := interceptor.NewClient(newReader(t, f.repo).(client.WithWatch), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			requests++
			if _, metadata := obj.(*metav1.PartialObjectMetadata); !metadata {
				return errors.New("more than the metadata was requested")
			}
			return c.Get(ctx, key, obj, opts...)
		},
	})
	f.worker.Shard = Shard{Selector: labels.SelectorFromSet(labels.Set{"shard": "a"}), APIReader: live}
	return &requests
}

func TestShard_ReportsRepositoryOfAnotherShard(t *testing.T) {
	for name, tc := range map[string]struct {
		labels   labels.Set
		change   func(*fixture)
		message  string
		waiting  bool
		requests int
	}{
		"belongs to another shard": {labels.Set{"shard": "b"}, nil, "ImageRepository 'ns/app' belongs to another controller than this ImagePolicy: its labels don't match 'shard=a'", true, 1},
		"belongs to no shard":      {nil, nil, "give both the same labels", true, 1},
		"does not exist":           {nil, func(f *fixture) { f.policy.Spec.ImageRepositoryRef.Name = "none" }, "'ns/none' not found: create it", true, 1},
		"is about to be cached":    {labels.Set{"shard": "a"}, nil, "", false, 1},
		"there is only one shard":  {labels.Set{"shard": "b"}, func(f *fixture) { f.worker.Shard.Selector = labels.Everything() }, "'ns/app' not found: create it", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			f := newFixture(t)
			requests := sharded(t, f, tc.labels)
			if tc.change != nil {
				tc.change(f)
			}
			waiting, ok := errors.AsType[*conditions.WaitingError](f.reconcile())
			g.Expect(ok).To(Equal(tc.waiting))
			g.Expect(*requests).To(Equal(tc.requests))
			if ok {
				g.Expect(waiting.Reason).To(Equal(meta.DependencyNotReadyReason))
				g.Expect(waiting.Error()).To(ContainSubstring(tc.message))
				g.Expect(waiting.After).To(Equal(30 * time.Second))
			}
		})
	}
}

// TestShard_KeepsMovedPolicyReady checks that a policy that is moved to a shard before its
// repository stays ready for a while.
func TestShard_KeepsMovedPolicyReady(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.scanned(g, "1.0.0")
	g.Expect(f.reconcile()).To(Succeed())
	before := f.policy.DeepCopy()

	reader := f.worker.Reader
	sharded(t, f, labels.Set{"shard": "b"})
	deferred, ok := errors.AsType[*conditions.DeferredError](f.reconcile())
	g.Expect(ok).To(BeTrue())
	g.Expect(deferred.After).To(Equal(30 * time.Second))
	g.Expect(f.policy).To(Equal(before))

	f.worker.Reader = reader
	g.Expect(f.reconcile()).To(Succeed())
	g.Expect(f.worker.missing.Get(client.ObjectKeyFromObject(f.policy))).To(BeZero(), "the next move starts a new period")

	sharded(t, f, labels.Set{"shard": "b"})
	_, ok = errors.AsType[*conditions.DeferredError](f.reconcile())
	g.Expect(ok).To(BeTrue())
	f.worker.missing.Update(client.ObjectKeyFromObject(f.policy), func(time.Time, bool) time.Time { return time.Now().Add(-30 * time.Second) })
	g.Expect(f.reconcile()).To(HaveOccurred())
	g.Expect(apimeta.IsStatusConditionFalse(f.policy.Status.Conditions, meta.ReadyCondition)).To(BeTrue())
	g.Expect(f.policy.Status.LatestRef).To(Equal(before.Status.LatestRef))

	g.Expect(f.worker.Forget(t.Context(), client.ObjectKeyFromObject(f.policy))).To(Succeed())
	g.Expect(f.worker.missing.Get(client.ObjectKeyFromObject(f.policy))).To(BeZero())
}

func TestShard_RetriesOnAPIError(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	sharded(t, f, nil)
	down := errors.New("API server down")
	f.worker.Shard.APIReader = interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return down
		},
	})
	_, err := f.worker.Work(t.Context(), f.policy, noProgress)
	g.Expect(err).To(MatchError(down))
	_, waiting := errors.AsType[*conditions.WaitingError](err)
	g.Expect(waiting).To(BeFalse(), "the error is retried")
}
