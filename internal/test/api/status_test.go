// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/api/v1beta2"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
)

// worker is a reconcile.Worker with the work of a test.
type worker func(context.Context, *v1.ImagePolicy) error

func (worker) New() *v1.ImagePolicy                               { return &v1.ImagePolicy{} }
func (worker) Suspended(*v1.ImagePolicy) bool                     { return false }
func (worker) Forget(context.Context, types.NamespacedName) error { return nil }

func (w worker) Work(ctx context.Context, policy *v1.ImagePolicy, _ reconcile.ProgressFunc) (conditions.Result, error) {
	return conditions.Result{Message: "done"}, w(ctx, policy)
}

type silence struct{}

func (silence) Publish(client.Object, conditions.Event) {}

// policyWithStatus is a policy on the API server with its reconciler.
type policyWithStatus struct {
	*WithT
	ctx context.Context
	api client.Client
	key types.NamespacedName
}

func newStatuses(t *testing.T, name string) *policyWithStatus {
	t.Helper()
	scheme := runtime.NewScheme()
	g := NewWithT(t)
	g.Expect(v1.AddToScheme(scheme)).To(Succeed())
	g.Expect(v1beta2.AddToScheme(scheme)).To(Succeed())
	api, err := client.New(server.config, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	s := &policyWithStatus{WithT: g, ctx: t.Context(), api: api, key: types.NamespacedName{Namespace: namespace, Name: name}}
	s.create()
	t.Cleanup(func() { _ = api.Delete(context.Background(), s.named()) })
	return s
}

func (s *policyWithStatus) named() *v1.ImagePolicy {
	policy := &v1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: s.key.Namespace, Name: s.key.Name}}
	policy.Spec.ImageRepositoryRef.Name = "app"
	policy.Spec.Policy.SemVer = &v1.SemVerPolicy{Range: "1.x"}
	return policy
}

func (s *policyWithStatus) create() { s.Expect(s.api.Create(s.ctx, s.named())).To(Succeed()) }

func (s *policyWithStatus) get() *v1.ImagePolicy {
	policy := &v1.ImagePolicy{}
	s.Expect(s.api.Get(s.ctx, s.key, policy)).To(Succeed())
	return policy
}

func (s *policyWithStatus) reconcile(work worker) ctrl.Result {
	r := &reconcile.Reconciler[*v1.ImagePolicy]{Client: s.api, APIReader: s.api, Worker: work, Publisher: silence{}, Kind: v1.ImagePolicyKind}
	result, err := r.Reconcile(s.ctx, ctrl.Request{NamespacedName: s.key})
	s.Expect(err).NotTo(HaveOccurred())
	return result
}

// set returns a worker that sets the refs of the status.
func set(latest, previous *v1.ImageRef) worker {
	return func(_ context.Context, policy *v1.ImagePolicy) error {
		policy.Status.LatestRef, policy.Status.ObservedPreviousRef = latest, previous
		return nil
	}
}

// TestStatus_IsStoredAsWritten checks that removed fields and conditions are removed from the
// status on the API server.
func TestStatus_IsStoredAsWritten(t *testing.T) {
	s := newStatuses(t, "as-written")
	full := &v1.ImageRef{Name: "a", Image: "a", Tag: "1.1.0", Digest: "sha256:1"}
	old := &v1.ImageRef{Name: "a", Image: "a", Tag: "1.0.0"}
	withoutDigest := &v1.ImageRef{Name: "a", Image: "a", Tag: "1.1.0"}
	for _, refs := range [][2]*v1.ImageRef{
		{full, old}, {withoutDigest, old}, {full, nil}, {nil, nil}, {withoutDigest, full}, {withoutDigest, withoutDigest},
	} {
		s.reconcile(set(refs[0], refs[1]))
		got := s.get()
		s.Expect(got.Status.LatestRef).To(Equal(refs[0]))
		s.Expect(got.Status.ObservedPreviousRef).To(Equal(refs[1]))
		s.Expect(got.Status.ObservedGeneration).To(Equal(got.Generation))
		s.Expect(got.Status.Conditions).To(HaveLen(1))
	}
	s.reconcile(func(context.Context, *v1.ImagePolicy) error {
		return conditions.Stalled(v1.InvalidPolicyReason, context.DeadlineExceeded)
	})
	s.Expect(s.get().Status.Conditions).To(HaveLen(2))
	s.reconcile(set(withoutDigest, full))
	s.Expect(s.get().Status.Conditions).To(ConsistOf(HaveField("Type", "Ready")), "the Stalled condition is removed")

	older := &v1beta2.ImagePolicy{}
	s.Expect(s.api.Get(s.ctx, s.key, older)).To(Succeed())
	s.Expect(older.Status.LatestRef.Tag).To(Equal("1.1.0"))
	s.Expect(older.Status.ObservedPreviousRef.Digest).To(Equal("sha256:1"))
}

// TestStatus_KeepsConcurrentChanges checks that a status write does not overwrite changes made
// during the reconcile.
func TestStatus_KeepsConcurrentChanges(t *testing.T) {
	ref := &v1.ImageRef{Name: "a", Image: "a", Tag: "1.1.0"}
	t.Run("spec and labels", func(t *testing.T) {
		s := newStatuses(t, "beside-spec")
		s.reconcile(func(ctx context.Context, policy *v1.ImagePolicy) error {
			policy.Status.LatestRef = ref
			live := s.get()
			live.Labels = map[string]string{"by": "another"}
			live.Spec.Policy.SemVer.Range = "2.x"
			return s.api.Update(ctx, live)
		})
		got := s.get()
		s.Expect(got.Status.LatestRef).To(Equal(ref))
		s.Expect(got.Labels).To(HaveKey("by"))
		s.Expect(got.Spec.Policy.SemVer.Range).To(Equal("2.x"))
		s.Expect(got.Generation).To(BeNumerically(">", got.Status.ObservedGeneration), "the new spec is not observed yet")
	})
	t.Run("status of a v1beta2 client", func(t *testing.T) {
		s := newStatuses(t, "beside-status")
		result := s.reconcile(func(ctx context.Context, policy *v1.ImagePolicy) error {
			policy.Status.LatestRef = ref
			live := &v1beta2.ImagePolicy{}
			s.Expect(s.api.Get(ctx, s.key, live)).To(Succeed())
			live.Status.LatestImage = "a:3.0.0"
			return s.api.Status().Update(ctx, live)
		})
		s.Expect(result.RequeueAfter).To(BeNumerically("<", time.Second), "it is reconciled again")
		s.Expect(s.get().Status.LatestRef).To(BeNil())
		s.Expect(s.get().Status.LatestImage).To(Equal("a:3.0.0"))
	})
	t.Run("another object with the same name", func(t *testing.T) {
		s := newStatuses(t, "beside-object")
		s.reconcile(func(ctx context.Context, policy *v1.ImagePolicy) error {
			policy.Status.LatestRef = ref
			s.Expect(s.api.Delete(ctx, s.get())).To(Succeed())
			s.create()
			return nil
		})
		s.Expect(s.get().Status.LatestRef).To(BeNil())
		s.Expect(s.get().Status.Conditions).To(BeEmpty())
	})
	t.Run("deletion", func(t *testing.T) {
		s := newStatuses(t, "beside-deletion")
		s.Expect(s.reconcile(func(ctx context.Context, policy *v1.ImagePolicy) error {
			policy.Status.LatestRef = ref
			return s.api.Delete(ctx, s.get())
		})).To(BeZero())
	})
}
