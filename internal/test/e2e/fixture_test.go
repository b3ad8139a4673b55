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
	// patience is how long a test waits for what must happen.
	patience = 30 * time.Second
	// shardLabel keeps the objects of the tests apart.
	shardLabel = "e2e/scene"
)

// scene is one test's part of the cluster: its namespace, and a controller
// that sees nothing but the test's objects.
type scene struct {
	*WithT
	t          *testing.T
	ctx        context.Context
	namespace  string
	kubeconfig string
	controller *recorded // where there is but one
	// proxy stands between the controller and the registry, and counts.
	proxy *countingProxy
}

// newScene starts a controller with further flags.
func newScene(t *testing.T, flags ...string) *scene {
	t.Helper()
	s := emptyScene(t)
	s.controller = s.start(s.replica(flags...))
	return s
}

// emptyScene is a scene whose controllers are still to be started.
func emptyScene(t *testing.T) *scene {
	t.Helper()
	t.Parallel()
	s := &scene{WithT: NewWithT(t), t: t, ctx: t.Context(), kubeconfig: suite.kubeconfig}
	s.SetDefaultEventuallyTimeout(patience)
	s.SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	s.namespace = s.newNamespace(nil)
	s.proxy = newCountingProxy(t, suite.registry.Host())
	return s
}

// replica is a controller with further flags and a storage of its own, which
// watches the objects of the scene once it is started.
func (s *scene) replica(flags ...string) *recorded {
	s.t.Helper()
	dir := suite.evidence.folderOf(s.t)
	return &recorded{Controller: &testenv.Controller{
		Binary:     suite.binaries.Controller,
		Dir:        dir,
		Kubeconfig: s.kubeconfig,
		Args: append([]string{
			"--log-level=debug",
			"--watch-label-selector=" + shardLabel + "=" + s.namespace,
			"--requeue-dependency=1s",
			"--max-retry-delay=2s",
		}, flags...),
	}}
}

// recorded is a controller whose metrics are appended to a file, as they are each time before it is ended.
type recorded struct{ *testenv.Controller }

// Stop ends the controller as Kubernetes does.
func (r *recorded) Stop() error { return errors.Join(r.keepMetrics(), r.Controller.Stop()) }

// Kill ends the controller as a crash does.
func (r *recorded) Kill() error { return errors.Join(r.keepMetrics(), r.Controller.Kill()) }

// keepMetrics appends the metrics to the file. A controller that does not run has none.
func (r *recorded) keepMetrics() error {
	select {
	case <-r.Done():
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	metrics, err := r.Get(ctx, "/metrics")
	if err != nil {
		return nil // one that ends, or waits for something, serves none
	}
	file, err := os.OpenFile(filepath.Join(r.Dir, "metrics.txt"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(metrics)
	return errors.Join(err, file.Close())
}

// start starts a controller, which is stopped when the test ends.
func (s *scene) start(controller *recorded) *recorded {
	s.t.Helper()
	s.Expect(controller.Start(s.ctx)).To(Succeed())
	s.t.Cleanup(func() {
		if err := controller.Stop(); err != nil {
			s.t.Errorf("the controller did not stop well: %v", err)
		}
		if s.t.Failed() {
			s.t.Logf("the controller's log:\n%s", testenv.Tail(controller.LogFile(), 60))
		}
	})
	return controller
}

func (s *scene) newNamespace(labels map[string]string) string {
	s.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-", Labels: labels}}
	s.Expect(suite.api.Create(s.ctx, namespace)).To(Succeed())
	return namespace.Name
}

func (s *scene) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.namespace, Name: name, Labels: map[string]string{shardLabel: s.namespace}}
}

// image is the name of an image repository of the scene, by way of the proxy.
func (s *scene) image(repository string) string {
	return s.proxy.host + "/" + s.namespace + "/" + repository
}

// push pushes an image that differs by its content, and returns its digest.
func (s *scene) push(repository, tag, content string) string {
	s.t.Helper()
	return s.pushTo(suite.registry, s.namespace+"/"+repository+":"+tag, content)
}

func (s *scene) pushTo(registry *testenv.Registry, reference, content string) string {
	s.t.Helper()
	image, err := testenv.Image(content)
	s.Expect(err).NotTo(HaveOccurred())
	digest, err := registry.Push(s.ctx, reference, image)
	s.Expect(err).NotTo(HaveOccurred())
	return digest
}

// pushTags pushes one image under several tags.
func (s *scene) pushTags(repository string, tags ...string) {
	s.t.Helper()
	for _, tag := range tags {
		s.push(repository, tag, "content of "+tag)
	}
}

// repository creates an ImageRepository, changed as the test wants it.
func (s *scene) repository(name string, change ...func(*v1.ImageRepository)) *v1.ImageRepository {
	s.t.Helper()
	repo := &v1.ImageRepository{
		ObjectMeta: s.meta(name),
		Spec: v1.ImageRepositorySpec{
			Image:    s.image(name),
			Interval: metav1.Duration{Duration: time.Hour},
			Insecure: true,
		},
	}
	for _, f := range change {
		f(repo)
	}
	s.Expect(suite.api.Create(s.ctx, repo)).To(Succeed())
	return repo
}

// policy creates an ImagePolicy of the ImageRepository of the same name.
func (s *scene) policy(name string, change ...func(*v1.ImagePolicy)) *v1.ImagePolicy {
	s.t.Helper()
	policy := &v1.ImagePolicy{
		ObjectMeta: s.meta(name),
		Spec: v1.ImagePolicySpec{
			ImageRepositoryRef: meta.NamespacedObjectReference{Name: name},
			Policy:             v1.ImagePolicyChoice{SemVer: &v1.SemVerPolicy{Range: ">=1.0.0"}},
		},
	}
	for _, f := range change {
		f(policy)
	}
	s.Expect(suite.api.Create(s.ctx, policy)).To(Succeed())
	return policy
}

// object is an object of either kind.
type object interface {
	client.Object
	GetConditions() []metav1.Condition
}

// refresh reads the object anew.
func refresh[T client.Object](s *scene, obj T) T {
	s.t.Helper()
	s.Expect(suite.api.Get(s.ctx, client.ObjectKeyFromObject(obj), obj)).To(Succeed())
	return obj
}

// edit changes the live object.
func edit[T client.Object](s *scene, obj T, change func(T)) {
	s.t.Helper()
	refresh(s, obj)
	before := obj.DeepCopyObject().(T)
	change(obj)
	s.Expect(suite.api.Patch(s.ctx, obj, client.MergeFrom(before))).To(Succeed())
}

// request asks for a reconcile as the flux CLI does, and waits until it was
// handled.
func request[T object](s *scene, obj T) {
	s.t.Helper()
	token := time.Now().Format(time.RFC3339Nano)
	edit(s, obj, func(obj T) {
		annotations := obj.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[meta.ReconcileRequestAnnotation] = token
		obj.SetAnnotations(annotations)
	})
	s.Eventually(func() string { return lastHandled(refresh(s, obj)) }).Should(Equal(token))
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

// ready waits until the object is ready in its current generation.
func ready[T object](s *scene, obj T) T {
	s.t.Helper()
	return awaitCondition(s, obj, meta.ReadyCondition, metav1.ConditionTrue, meta.SucceededReason, "")
}

// notReady waits until the object is not ready for a reason, and says what.
func notReady[T object](s *scene, obj T, reason, message string) T {
	s.t.Helper()
	return awaitCondition(s, obj, meta.ReadyCondition, metav1.ConditionFalse, reason, message)
}

func awaitCondition[T object](s *scene, obj T, kind string, status metav1.ConditionStatus, reason, message string) T {
	s.t.Helper()
	s.Eventually(func(g Gomega) {
		refresh(s, obj)
		condition := apimeta.FindStatusCondition(obj.GetConditions(), kind)
		g.Expect(condition).NotTo(BeNil())
		g.Expect(*condition).To(And(HaveField("Status", status), HaveField("Reason", reason),
			HaveField("Message", ContainSubstring(message)), HaveField("ObservedGeneration", obj.GetGeneration())))
	}).Should(Succeed(), "%T %s: waiting for %s=%s", obj, obj.GetName(), kind, status)
	return obj
}

// events returns what the events about an object say, each as often as it was
// told.
func (s *scene) events(obj client.Object) []string {
	s.t.Helper()
	list := &corev1.EventList{}
	s.Expect(suite.api.List(s.ctx, list, client.InNamespace(obj.GetNamespace()))).To(Succeed())
	var told []string
	for _, event := range list.Items {
		if event.InvolvedObject.UID == obj.GetUID() {
			for range max(1, event.Count) {
				told = append(told, event.Type+" "+event.Reason+" "+event.Message)
			}
		}
	}
	return told
}

// serve serves on the loopback interface until the test ends, and returns the
// host and port.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// countingProxy passes requests on to a registry, and counts them.
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

// asked returns the requests since the last call that contain a text.
func (p *countingProxy) asked(text string) []string {
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
