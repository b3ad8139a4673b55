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

// fakeWorker is a worker that calls the function of a test.
type fakeWorker struct {
	work      func(ctx context.Context, policy *v1.ImagePolicy, progress ProgressFunc) (conditions.Result, error)
	calls     int
	forgotten []types.NamespacedName
}

func (w *fakeWorker) New() *v1.ImagePolicy             { return &v1.ImagePolicy{} }
func (w *fakeWorker) Suspended(p *v1.ImagePolicy) bool { return p.Spec.Suspend }

func (w *fakeWorker) Forget(_ context.Context, name types.NamespacedName) error {
	w.forgotten = append(w.forgotten, name)
	return nil
}

func (w *fakeWorker) Work(ctx context.Context, policy *v1.ImagePolicy, progress ProgressFunc) (conditions.Result, error) {
	w.calls++
	return w.work(ctx, policy, progress)
}

type published []conditions.Event

func (p *published) Publish(_ client.Object, event conditions.Event) { *p = append(*p, event) }

// fixture is a reconciler with a fake API server that counts status writes.
type fixture struct {
	*Reconciler[*v1.ImagePolicy]
	worker *fakeWorker
	events published
	writes int
	patch  string // the last one
}

func newFixture(t *testing.T, policy *v1.ImagePolicy, work func(context.Context, *v1.ImagePolicy, ProgressFunc) (conditions.Result, error)) *fixture {
	t.Helper()
	scheme := runtime.NewScheme()
	NewWithT(t).Expect(v1.AddToScheme(scheme)).To(Succeed())
	f := &fixture{worker: &fakeWorker{work: work}}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1.ImagePolicy{})
	if policy != nil {
		builder = builder.WithObjects(policy)
	}
	api := builder.WithInterceptorFuncs(interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			f.writes++
			change, err := patch.Data(obj)
			f.patch = string(change)
			if err != nil {
				return err
			}
			return c.SubResource(sub).Patch(ctx, obj, patch, opts...)
		},
	}).Build()
	f.Reconciler = &Reconciler[*v1.ImagePolicy]{Client: api, APIReader: api, Worker: f.worker, Publisher: &f.events}
	return f
}

func (f *fixture) reconcile() (ctrl.Result, error) {
	return f.Reconcile(context.Background(), ctrl.Request{NamespacedName: key})
}

func (f *fixture) get(g Gomega) *v1.ImagePolicy {
	policy := &v1.ImagePolicy{}
	g.Expect(f.Client.Get(context.Background(), key, policy)).To(Succeed())
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
	f := newFixture(t, policy(), selects("1"))
	g.Expect(f.reconcile()).To(HaveField("RequeueAfter", BeNumerically("~", time.Minute, slack)))
	g.Expect(f.writes).To(Equal(1))
	g.Expect(f.events).To(HaveLen(1))
	g.Expect(f.get(g).Status.LatestRef.Tag).To(Equal("1"))

	g.Expect(f.reconcile()).Error().NotTo(HaveOccurred())
	g.Expect(f.writes).To(Equal(1), "an unchanged status is not written")
	g.Expect(f.events).To(HaveLen(1))
}

func TestReconcile_SendsOnlyChangedFields(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t, policy(), selects("1"))
	g.Expect(f.reconcile()).Error().NotTo(HaveOccurred())

	f.worker.work = func(_ context.Context, p *v1.ImagePolicy, _ ProgressFunc) (conditions.Result, error) {
		p.Status.LatestRef = &v1.ImageRef{Name: "app", Tag: "1"} // without the field image
		return conditions.Result{Message: "1", After: time.Minute}, nil
	}
	version := f.get(g).ResourceVersion
	g.Expect(f.reconcile()).Error().NotTo(HaveOccurred())
	g.Expect(f.patch).To(MatchJSON(`{"metadata": {"resourceVersion": "` + version + `"}, "status": {"latestRef": {"image": null}}}`))
	g.Expect(f.get(g).Status.Conditions).To(HaveLen(1), "other fields stay")
}

func TestReconcile_ReportsProgressOfSlowWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var during *v1.ImagePolicy
		var f *fixture
		f = newFixture(t, policy(), func(ctx context.Context, p *v1.ImagePolicy, progress ProgressFunc) (conditions.Result, error) {
			progress("scanning")
			progress("scanning again")
			<-time.After(2 * progressDelay)
			during = f.get(g)
			return selects("1")(ctx, p, progress)
		})
		g.Expect(f.reconcile()).Error().NotTo(HaveOccurred())
		g.Expect(f.writes).To(Equal(2))
		g.Expect(during.Status.Conditions).To(ContainElement(And(HaveField("Type", "Reconciling"), HaveField("Message", "scanning"))))
		g.Expect(during.Status.Conditions).To(ContainElement(And(HaveField("Type", "Ready"), HaveField("Status", metav1.ConditionUnknown))))
		g.Expect(f.get(g).Status.Conditions).To(ConsistOf(And(HaveField("Type", "Ready"), HaveField("Message", "1"))))
		g.Expect(f.get(g).Status.LatestRef.Tag).To(Equal("1"))

		g.Expect(f.reconcile()).Error().NotTo(HaveOccurred())
		g.Expect(f.writes).To(Equal(2), "progress is reported once per generation")
	})
}

func TestReconcile_ReportsNoProgressOfFastWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		f := newFixture(t, policy(), func(ctx context.Context, p *v1.ImagePolicy, progress ProgressFunc) (conditions.Result, error) {
			progress("scanning")
			<-time.After(progressDelay / 2)
			return selects("1")(ctx, p, progress)
		})
		g.Expect(f.reconcile()).Error().NotTo(HaveOccurred())
		<-time.After(2 * progressDelay)
		g.Expect(f.writes).To(Equal(1))
		g.Expect(f.events).To(HaveLen(1))
	})
}

func TestReconcile_ProgressDoesNotOverwriteNewerStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var f *fixture
		f = newFixture(t, policy(), func(ctx context.Context, p *v1.ImagePolicy, progress ProgressFunc) (conditions.Result, error) {
			live := f.get(g)
			live.Status.LatestRef = &v1.ImageRef{Name: "app", Tag: "newer"}
			g.Expect(f.Client.Status().Update(ctx, live)).To(Succeed())
			progress("scanning")
			<-time.After(2 * progressDelay)
			return selects("1")(ctx, p, progress)
		})
		g.Expect(f.reconcile()).To(HaveField("RequeueAfter", Equal(conflictDelay)))
		g.Expect(f.get(g).Status.LatestRef.Tag).To(Equal("newer"))
		g.Expect(f.get(g).Status.Conditions).To(BeEmpty(), "progress does not overwrite the status of another writer")
	})
}

func TestReconcile_WritesStatusOnError(t *testing.T) {
	g := NewWithT(t)
	broken := errors.New("broken")
	f := newFixture(t, policy(), func(_ context.Context, p *v1.ImagePolicy, _ ProgressFunc) (conditions.Result, error) {
		p.Status.LatestImage = "migrated"
		return conditions.Result{}, broken
	})
	_, err := f.reconcile()
	g.Expect(err).To(MatchError(broken))
	g.Expect(f.get(g).Status.LatestImage).To(Equal("migrated"))
	g.Expect(f.events).To(HaveLen(1))
}

func TestReconcile_WritesNothingIfDeferred(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t, policy(), func(_ context.Context, p *v1.ImagePolicy, _ ProgressFunc) (conditions.Result, error) {
		p.Status.LatestImage = "half-done"
		return conditions.Result{}, conditions.Deferred(3*time.Second, errors.New("busy"))
	})
	g.Expect(f.reconcile()).To(HaveField("RequeueAfter", Equal(3*time.Second)), "a deferral is not a failure")
	g.Expect(f.writes).To(BeZero())
	g.Expect(f.events).To(BeEmpty())
}

// edit patches the object in the API server, as a user does.
func (f *fixture) edit(g Gomega, change func(*v1.ImagePolicy)) {
	live := f.get(g)
	before := live.DeepCopy()
	change(live)
	g.Expect(f.Client.Patch(context.Background(), live, client.MergeFrom(before))).To(Succeed())
}

func TestReconcile_KeepsResultIfSpecChanges(t *testing.T) {
	g := NewWithT(t)
	var f *fixture
	f = newFixture(t, policy(), func(ctx context.Context, p *v1.ImagePolicy, progress ProgressFunc) (conditions.Result, error) {
		f.edit(g, func(p *v1.ImagePolicy) { p.Generation, p.Annotations = 2, map[string]string{"by": "user"} })
		return selects("1")(ctx, p, progress)
	})
	g.Expect(f.reconcile()).To(HaveField("RequeueAfter", BeNumerically("~", time.Minute, slack)))
	after := f.get(g)
	g.Expect(after.Status.LatestRef.Tag).To(Equal("1"), "the result is kept")
	g.Expect(after.Status.ObservedGeneration).To(Equal(int64(1)), "the old generation was reconciled")
	g.Expect(after.Annotations).To(HaveKey("by"))
	g.Expect(f.events).To(HaveLen(1))
}

func TestReconcile_RequeuesOnStatusConflict(t *testing.T) {
	g := NewWithT(t)
	var f *fixture
	f = newFixture(t, policy(), func(ctx context.Context, p *v1.ImagePolicy, progress ProgressFunc) (conditions.Result, error) {
		live := f.get(g)
		live.Status.LatestRef = &v1.ImageRef{Name: "app", Tag: "newer"}
		g.Expect(f.Client.Status().Update(ctx, live)).To(Succeed())
		return selects("1")(ctx, p, progress)
	})
	g.Expect(f.reconcile()).To(HaveField("RequeueAfter", Equal(conflictDelay)), "no error is logged")
	g.Expect(f.get(g).Status.LatestRef.Tag).To(Equal("newer"), "a result that is based on an old status is dropped")
	g.Expect(f.events).To(BeEmpty())
}

func TestReconcile_SkipsSuspendedObject(t *testing.T) {
	g := NewWithT(t)
	p := policy()
	p.Spec.Suspend = true
	f := newFixture(t, p, selects("1"))
	g.Expect(f.reconcile()).Error().NotTo(HaveOccurred())
	g.Expect(f.worker.calls).To(BeZero())
	g.Expect(f.writes).To(BeZero())
}

func TestReconcile_RemovesFinalizerAndForgetsDeletedObject(t *testing.T) {
	g := NewWithT(t)
	p := policy()
	p.Finalizers = []string{v1.ImageFinalizer}
	f := newFixture(t, p, selects("1"))
	g.Expect(f.reconcile()).Error().NotTo(HaveOccurred())
	g.Expect(f.get(g).Finalizers).To(BeEmpty(), "it is removed before the deletion")
	g.Expect(f.worker.calls).To(Equal(1), "the reconcile continues")

	f.edit(g, func(p *v1.ImagePolicy) { p.Finalizers = []string{v1.ImageFinalizer} })
	g.Expect(f.Client.Delete(context.Background(), f.get(g))).To(Succeed())
	g.Expect(f.reconcile()).Error().NotTo(HaveOccurred())
	g.Expect(apierrors.IsNotFound(f.Client.Get(context.Background(), key, &v1.ImagePolicy{}))).To(BeTrue())
	g.Expect(f.worker.forgotten).To(ConsistOf(key), "before the finalizer was removed")

	g.Expect(f.reconcile()).Error().NotTo(HaveOccurred())
	g.Expect(f.worker.forgotten).To(HaveLen(2), "a deletion without a finalizer")
}

func TestReconcile_WritesNothingOnShutdown(t *testing.T) {
	g := NewWithT(t)
	ctx, stop := context.WithCancel(context.Background())
	f := newFixture(t, policy(), func(context.Context, *v1.ImagePolicy, ProgressFunc) (conditions.Result, error) {
		stop()
		return conditions.Result{}, errors.New("request canceled")
	})
	_, err := f.Reconcile(ctx, ctrl.Request{NamespacedName: key})
	g.Expect(err).NotTo(HaveOccurred(), "no error is logged")
	g.Expect(f.writes).To(BeZero())
	g.Expect(f.events).To(BeEmpty())
}
