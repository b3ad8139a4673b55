// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
)

var key = types.NamespacedName{Namespace: "ns", Name: "app"}

// script is a worker that does what a test wants.
type script struct {
	work   func(ctx context.Context, policy *v1.ImagePolicy, begin ProgressFunc) (conditions.Result, error)
	works  int
	forgot []types.NamespacedName
}

func (s *script) New() *v1.ImagePolicy             { return &v1.ImagePolicy{} }
func (s *script) Suspended(p *v1.ImagePolicy) bool { return p.Spec.Suspend }

func (s *script) Forget(_ context.Context, name types.NamespacedName) error {
	s.forgot = append(s.forgot, name)
	return nil
}

func (s *script) Work(ctx context.Context, policy *v1.ImagePolicy, begin ProgressFunc) (conditions.Result, error) {
	s.works++
	return s.work(ctx, policy, begin)
}

type published []conditions.Event

func (p *published) Publish(_ client.Object, event conditions.Event) { *p = append(*p, event) }

// bench is a reconciler on a fake API server that counts status writes.
type bench struct {
	*Reconciler[*v1.ImagePolicy]
	worker *script
	events published
	writes int
}

func newBench(t *testing.T, policy *v1.ImagePolicy, work func(context.Context, *v1.ImagePolicy, ProgressFunc) (conditions.Result, error)) *bench {
	t.Helper()
	scheme := runtime.NewScheme()
	NewWithT(t).Expect(v1.AddToScheme(scheme)).To(Succeed())
	b := &bench{worker: &script{work: work}}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1.ImagePolicy{})
	if policy != nil {
		builder = builder.WithObjects(policy)
	}
	api := builder.WithInterceptorFuncs(interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			b.writes++
			return c.SubResource(sub).Patch(ctx, obj, patch, opts...)
		},
	}).Build()
	b.Reconciler = &Reconciler[*v1.ImagePolicy]{Client: api, APIReader: api, Worker: b.worker, Publisher: &b.events}
	return b
}

func (b *bench) reconcile() (ctrl.Result, error) {
	return b.Reconcile(context.Background(), ctrl.Request{NamespacedName: key})
}

func (b *bench) get(g Gomega) *v1.ImagePolicy {
	policy := &v1.ImagePolicy{}
	g.Expect(b.Client.Get(context.Background(), key, policy)).To(Succeed())
	return policy
}

func policy() *v1.ImagePolicy {
	return &v1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, UID: "u", Generation: 1}}
}

func selects(tag string) func(context.Context, *v1.ImagePolicy, ProgressFunc) (conditions.Result, error) {
	return func(_ context.Context, p *v1.ImagePolicy, _ ProgressFunc) (conditions.Result, error) {
		p.Status.LatestRef = &v1.ImageRef{Name: "app", Image: "app", Tag: tag}
		return conditions.Result{Message: tag, After: time.Minute}, nil
	}
}

func TestReconcile_WritesStatusOnlyOnChange(t *testing.T) {
	g := NewWithT(t)
	b := newBench(t, policy(), selects("1"))
	g.Expect(b.reconcile()).To(HaveField("RequeueAfter", Equal(time.Minute)))
	g.Expect(b.writes).To(Equal(1))
	g.Expect(b.events).To(HaveLen(1))
	g.Expect(b.get(g).Status.LatestRef.Tag).To(Equal("1"))

	g.Expect(b.reconcile()).Error().NotTo(HaveOccurred())
	g.Expect(b.writes).To(Equal(1), "an unchanged policy costs no write")
	g.Expect(b.events).To(HaveLen(1))
}

func TestReconcile_ReportsProgressOfSlowWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var during *v1.ImagePolicy
		var b *bench
		b = newBench(t, policy(), func(ctx context.Context, p *v1.ImagePolicy, begin ProgressFunc) (conditions.Result, error) {
			begin("looking")
			begin("looking elsewhere")
			<-time.After(2 * progressDelay)
			during = b.get(g)
			return selects("1")(ctx, p, begin)
		})
		g.Expect(b.reconcile()).Error().NotTo(HaveOccurred())
		g.Expect(b.writes).To(Equal(2))
		g.Expect(during.Status.Conditions).To(ContainElement(And(HaveField("Type", "Reconciling"), HaveField("Message", "looking"))))
		g.Expect(during.Status.Conditions).To(ContainElement(And(HaveField("Type", "Ready"), HaveField("Status", metav1.ConditionUnknown))))
		g.Expect(b.get(g).Status.Conditions).To(ConsistOf(And(HaveField("Type", "Ready"), HaveField("Message", "1"))))
		g.Expect(b.get(g).Status.LatestRef.Tag).To(Equal("1"))

		g.Expect(b.reconcile()).Error().NotTo(HaveOccurred())
		g.Expect(b.writes).To(Equal(2), "a known generation is not announced again")
	})
}

func TestReconcile_ReportsNoProgressOfFastWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		b := newBench(t, policy(), func(ctx context.Context, p *v1.ImagePolicy, begin ProgressFunc) (conditions.Result, error) {
			begin("looking")
			<-time.After(progressDelay / 2)
			return selects("1")(ctx, p, begin)
		})
		g.Expect(b.reconcile()).Error().NotTo(HaveOccurred())
		<-time.After(2 * progressDelay)
		g.Expect(b.writes).To(Equal(1))
		g.Expect(b.events).To(HaveLen(1))
	})
}

func TestReconcile_ProgressDoesNotOverwriteNewerStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var b *bench
		b = newBench(t, policy(), func(ctx context.Context, p *v1.ImagePolicy, begin ProgressFunc) (conditions.Result, error) {
			live := b.get(g)
			live.Status.LatestRef = &v1.ImageRef{Name: "app", Tag: "newer"}
			g.Expect(b.Client.Status().Update(ctx, live)).To(Succeed())
			begin("looking")
			<-time.After(2 * progressDelay)
			return selects("1")(ctx, p, begin)
		})
		g.Expect(b.reconcile()).To(HaveField("RequeueAfter", Equal(conflictDelay)))
		g.Expect(b.get(g).Status.LatestRef.Tag).To(Equal("newer"))
		g.Expect(b.get(g).Status.Conditions).To(BeEmpty(), "what is announced never overwrites what somebody else wrote")
	})
}

func TestReconcile_WritesStatusOnError(t *testing.T) {
	g := NewWithT(t)
	broken := errors.New("broken")
	b := newBench(t, policy(), func(_ context.Context, p *v1.ImagePolicy, _ ProgressFunc) (conditions.Result, error) {
		p.Status.LatestImage = "migrated"
		return conditions.Result{}, broken
	})
	_, err := b.reconcile()
	g.Expect(err).To(MatchError(broken))
	g.Expect(b.get(g).Status.LatestImage).To(Equal("migrated"))
	g.Expect(b.events).To(HaveLen(1))
}

func TestReconcile_WritesNothingIfDeferred(t *testing.T) {
	g := NewWithT(t)
	b := newBench(t, policy(), func(_ context.Context, p *v1.ImagePolicy, _ ProgressFunc) (conditions.Result, error) {
		p.Status.LatestImage = "half-done"
		return conditions.Result{}, conditions.Deferred(3*time.Second, errors.New("busy"))
	})
	g.Expect(b.reconcile()).To(HaveField("RequeueAfter", Equal(3*time.Second)), "a delay is no failure")
	g.Expect(b.writes).To(BeZero())
	g.Expect(b.events).To(BeEmpty())
}

// edit changes the live object behind the reconciler's back.
func (b *bench) edit(g Gomega, change func(*v1.ImagePolicy)) {
	live := b.get(g)
	before := live.DeepCopy()
	change(live)
	g.Expect(b.Client.Patch(context.Background(), live, client.MergeFrom(before))).To(Succeed())
}

func TestReconcile_KeepsResultIfSpecChanges(t *testing.T) {
	g := NewWithT(t)
	var b *bench
	b = newBench(t, policy(), func(ctx context.Context, p *v1.ImagePolicy, begin ProgressFunc) (conditions.Result, error) {
		b.edit(g, func(p *v1.ImagePolicy) { p.Generation, p.Annotations = 2, map[string]string{"by": "its author"} })
		return selects("1")(ctx, p, begin)
	})
	g.Expect(b.reconcile()).To(HaveField("RequeueAfter", Equal(time.Minute)))
	after := b.get(g)
	g.Expect(after.Status.LatestRef.Tag).To(Equal("1"), "the work is not lost")
	g.Expect(after.Status.ObservedGeneration).To(Equal(int64(1)), "what was reconciled is the old generation")
	g.Expect(after.Annotations).To(HaveKey("by"))
	g.Expect(b.events).To(HaveLen(1))
}

func TestReconcile_RequeuesOnStatusConflict(t *testing.T) {
	g := NewWithT(t)
	var b *bench
	b = newBench(t, policy(), func(ctx context.Context, p *v1.ImagePolicy, begin ProgressFunc) (conditions.Result, error) {
		live := b.get(g)
		live.Status.LatestRef = &v1.ImageRef{Name: "app", Tag: "newer"}
		g.Expect(b.Client.Status().Update(ctx, live)).To(Succeed())
		return selects("1")(ctx, p, begin)
	})
	g.Expect(b.reconcile()).To(HaveField("RequeueAfter", Equal(conflictDelay)), "it is not worth a log line")
	g.Expect(b.get(g).Status.LatestRef.Tag).To(Equal("newer"), "what was concluded from an old status is dropped")
	g.Expect(b.events).To(BeEmpty())
}

func TestReconcile_SkipsSuspendedObject(t *testing.T) {
	g := NewWithT(t)
	p := policy()
	p.Spec.Suspend = true
	b := newBench(t, p, selects("1"))
	g.Expect(b.reconcile()).Error().NotTo(HaveOccurred())
	g.Expect(b.worker.works).To(BeZero())
	g.Expect(b.writes).To(BeZero())
}

func TestReconcile_RemovesFinalizerAndForgetsDeletedObject(t *testing.T) {
	g := NewWithT(t)
	p := policy()
	p.Finalizers = []string{v1.ImageFinalizer}
	b := newBench(t, p, selects("1"))
	g.Expect(b.reconcile()).Error().NotTo(HaveOccurred())
	g.Expect(b.get(g).Finalizers).To(BeEmpty(), "it is taken off before it can hang a deletion")
	g.Expect(b.worker.works).To(Equal(1), "and the reconcile goes on")

	b.edit(g, func(p *v1.ImagePolicy) { p.Finalizers = []string{v1.ImageFinalizer} })
	g.Expect(b.Client.Delete(context.Background(), b.get(g))).To(Succeed())
	g.Expect(b.reconcile()).Error().NotTo(HaveOccurred())
	g.Expect(apierrors.IsNotFound(b.Client.Get(context.Background(), key, &v1.ImagePolicy{}))).To(BeTrue())
	g.Expect(b.worker.forgot).To(ConsistOf(key), "before the finalizer was taken off")

	g.Expect(b.reconcile()).Error().NotTo(HaveOccurred())
	g.Expect(b.worker.forgot).To(HaveLen(2), "a deletion that is only seen as an absence counts too")
}

func TestReconcile_WritesNothingOnShutdown(t *testing.T) {
	g := NewWithT(t)
	ctx, stop := context.WithCancel(context.Background())
	b := newBench(t, policy(), func(context.Context, *v1.ImagePolicy, ProgressFunc) (conditions.Result, error) {
		stop()
		return conditions.Result{}, errors.New("request canceled")
	})
	_, err := b.Reconcile(ctx, ctrl.Request{NamespacedName: key})
	g.Expect(err).NotTo(HaveOccurred(), "it is not worth a log line")
	g.Expect(b.writes).To(BeZero())
	g.Expect(b.events).To(BeEmpty())
}
