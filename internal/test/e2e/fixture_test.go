// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

const (
	// eventuallyTimeout is the default timeout of Eventually.
	eventuallyTimeout = 30 * time.Second
	// shardLabel is the label by which each controller selects the objects of its test.
	shardLabel = "e2e/fixture"
)

// fixture is the part of the cluster that belongs to one test: a namespace, and a controller that
// watches only the objects of the test.
type fixture struct {
	*WithT
	t          *testing.T
	ctx        context.Context
	namespace  string
	kubeconfig string
	controller *recordedController // nil if the test starts its controllers itself
	// proxy forwards requests of the controller to the registry, and records them.
	proxy *countingProxy
}

// newFixture returns a fixture with a running controller, started with additional flags.
func newFixture(t *testing.T, flags ...string) *fixture {
	t.Helper()
	f := newIdleFixture(t)
	f.controller = f.start(f.replica(flags...))
	return f
}

// newIdleFixture returns a fixture without a controller.
func newIdleFixture(t *testing.T) *fixture {
	t.Helper()
	t.Parallel()
	f := &fixture{WithT: NewWithT(t), t: t, ctx: t.Context(), kubeconfig: suite.kubeconfig}
	f.SetDefaultEventuallyTimeout(eventuallyTimeout)
	f.SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	f.namespace = f.newNamespace(nil)
	f.proxy = newCountingProxy(t, suite.registry.Host())
	return f
}

// replica returns a controller for the objects of the test, with additional flags and its own
// storage. It is not started.
func (f *fixture) replica(flags ...string) *recordedController {
	f.t.Helper()
	dir := suite.evidence.controllerDir(f.t)
	return &recordedController{Controller: &testenv.Controller{
		Binary:     suite.binaries.Controller,
		Dir:        dir,
		Kubeconfig: f.kubeconfig,
		Args: append([]string{
			"--log-level=debug",
			"--watch-label-selector=" + shardLabel + "=" + f.namespace,
			"--requeue-dependency=1s",
			"--max-retry-delay=2s",
		}, flags...),
	}}
}

// recordedController is a controller that appends its metrics to a file before it is stopped or
// killed.
type recordedController struct{ *testenv.Controller }

// Stop stops the controller as Kubernetes does.
func (r *recordedController) Stop() error { return errors.Join(r.appendMetrics(), r.Controller.Stop()) }

// Kill kills the controller, like a crash.
func (r *recordedController) Kill() error { return errors.Join(r.appendMetrics(), r.Controller.Kill()) }

// appendMetrics appends the metrics to the file, if the controller is running.
func (r *recordedController) appendMetrics() error {
	select {
	case <-r.Done():
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	metrics, err := r.Get(ctx, "/metrics")
	if err != nil {
		return nil // the controller is stopping or not ready
	}
	file, err := os.OpenFile(filepath.Join(r.Dir, "metrics.txt"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(metrics)
	return errors.Join(err, file.Close())
}

// start starts a controller and stops it when the test ends.
func (f *fixture) start(controller *recordedController) *recordedController {
	f.t.Helper()
	f.Expect(controller.Start(f.ctx)).To(Succeed())
	f.t.Cleanup(func() {
		if err := controller.Stop(); err != nil {
			f.t.Errorf("the controller did not stop cleanly: %v", err)
		}
		if f.t.Failed() {
			f.t.Logf("the controller's log:\n%s", testenv.Tail(controller.LogFile(), 60))
		}
	})
	return controller
}

func (f *fixture) newNamespace(labels map[string]string) string {
	f.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-", Labels: labels}}
	f.Expect(suite.api.Create(f.ctx, namespace)).To(Succeed())
	return namespace.Name
}

func (f *fixture) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: f.namespace, Name: name, Labels: map[string]string{shardLabel: f.namespace}}
}

// image returns the name of an image repository of the test, in the proxy.
func (f *fixture) image(repository string) string {
	return f.proxy.host + "/" + f.namespace + "/" + repository
}

// push pushes an image with the given content and returns its digest.
func (f *fixture) push(repository, tag, content string) string {
	f.t.Helper()
	return f.pushTo(suite.registry, f.namespace+"/"+repository+":"+tag, content)
}

func (f *fixture) pushTo(registry *testenv.Registry, reference, content string) string {
	f.t.Helper()
	image, err := testenv.Image(content)
	f.Expect(err).NotTo(HaveOccurred())
	digest, err := registry.Push(f.ctx, reference, image)
	f.Expect(err).NotTo(HaveOccurred())
	return digest
}

// pushTags pushes a different image for each tag.
func (f *fixture) pushTags(repository string, tags ...string) {
	f.t.Helper()
	for _, tag := range tags {
		f.push(repository, tag, "content of "+tag)
	}
}

// repository creates an ImageRepository with the given changes.
func (f *fixture) repository(name string, change ...func(*v1.ImageRepository)) *v1.ImageRepository {
	f.t.Helper()
	repo := &v1.ImageRepository{
		ObjectMeta: f.meta(name),
		Spec: v1.ImageRepositorySpec{
			Image:    f.image(name),
			Interval: metav1.Duration{Duration: time.Hour},
			Insecure: true,
		},
	}
	for _, apply := range change {
		apply(repo)
	}
	f.Expect(suite.api.Create(f.ctx, repo)).To(Succeed())
	return repo
}

// policy creates an ImagePolicy for the ImageRepository of the same name, with the given changes.
func (f *fixture) policy(name string, change ...func(*v1.ImagePolicy)) *v1.ImagePolicy {
	f.t.Helper()
	policy := &v1.ImagePolicy{
		ObjectMeta: f.meta(name),
		Spec: v1.ImagePolicySpec{
			ImageRepositoryRef: meta.NamespacedObjectReference{Name: name},
			Policy:             v1.ImagePolicyChoice{SemVer: &v1.SemVerPolicy{Range: ">=1.0.0"}},
		},
	}
	for _, apply := range change {
		apply(policy)
	}
	f.Expect(suite.api.Create(f.ctx, policy)).To(Succeed())
	return policy
}

// object is an ImageRepository or an ImagePolicy.
type object interface {
	client.Object
	GetConditions() []metav1.Condition
}

// refresh reads the current state of the object into obj.
func refresh[T client.Object](f *fixture, obj T) T {
	f.t.Helper()
	f.Expect(suite.api.Get(f.ctx, client.ObjectKeyFromObject(obj), obj)).To(Succeed())
	return obj
}

// edit refreshes the object and patches it with a change.
func edit[T client.Object](f *fixture, obj T, change func(T)) {
	f.t.Helper()
	refresh(f, obj)
	before := obj.DeepCopyObject().(T)
	change(obj)
	f.Expect(suite.api.Patch(f.ctx, obj, client.MergeFrom(before))).To(Succeed())
}

// requestReconcile requests a reconcile as the flux CLI does, and waits until it is handled.
func requestReconcile[T object](f *fixture, obj T) {
	f.t.Helper()
	token := time.Now().Format(time.RFC3339Nano)
	edit(f, obj, func(obj T) {
		annotations := obj.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[meta.ReconcileRequestAnnotation] = token
		obj.SetAnnotations(annotations)
	})
	f.Eventually(func() string { return lastHandled(refresh(f, obj)) }).Should(Equal(token))
}

func lastHandled(obj client.Object) string {
	switch o := obj.(type) {
	case *v1.ImageRepository:
		return o.Status.LastHandledReconcileAt
	case *v1.ImagePolicy:
		return o.Status.LastHandledReconcileAt
	}
	return ""
}

// awaitReady waits until the object is ready for its current generation.
func awaitReady[T object](f *fixture, obj T) T {
	f.t.Helper()
	return awaitCondition(f, obj, meta.ReadyCondition, metav1.ConditionTrue, meta.SucceededReason, "")
}

// awaitNotReady waits until the object is not ready, with a reason and a part of the message.
func awaitNotReady[T object](f *fixture, obj T, reason, message string) T {
	f.t.Helper()
	return awaitCondition(f, obj, meta.ReadyCondition, metav1.ConditionFalse, reason, message)
}

func awaitCondition[T object](f *fixture, obj T, kind string, status metav1.ConditionStatus, reason, message string) T {
	f.t.Helper()
	f.Eventually(func(g Gomega) {
		refresh(f, obj)
		condition := apimeta.FindStatusCondition(obj.GetConditions(), kind)
		g.Expect(condition).NotTo(BeNil())
		g.Expect(*condition).To(And(HaveField("Status", status), HaveField("Reason", reason),
			HaveField("Message", ContainSubstring(message)), HaveField("ObservedGeneration", obj.GetGeneration())))
	}).Should(Succeed(), "%T %s: waiting for %s=%s", obj, obj.GetName(), kind, status)
	return obj
}

// events returns the events about an object as texts, each repeated by its count.
func (f *fixture) events(obj client.Object) []string {
	f.t.Helper()
	list := &corev1.EventList{}
	f.Expect(suite.api.List(f.ctx, list, client.InNamespace(obj.GetNamespace()))).To(Succeed())
	var texts []string
	for _, event := range list.Items {
		if event.InvolvedObject.UID == obj.GetUID() {
			for range max(1, event.Count) {
				texts = append(texts, event.Type+" "+event.Reason+" "+event.Message)
			}
		}
	}
	return texts
}

// serve starts an HTTP server on the loopback interface and returns its host and port.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// countingProxy forwards requests to a registry and records them.
type countingProxy struct {
	host string

	mu       sync.Mutex
	requests []string
}

func newCountingProxy(t *testing.T, registry string) *countingProxy {
	t.Helper()
	p := &countingProxy{}
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: registry})
	p.host = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests = append(p.requests, fmt.Sprintf("%s %s", r.Method, r.URL.Path))
		p.mu.Unlock()
		forward.ServeHTTP(w, r)
	}))
	return p
}

// takeRequests returns the recorded requests that contain a text, and clears all.
func (p *countingProxy) takeRequests(text string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []string
	for _, request := range p.requests {
		if strings.Contains(request, text) {
			found = append(found, request)
		}
	}
	p.requests = nil
	return found
}
