// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// TestController_SurvivesKills checks that the refs are correct after crashes at random times.
func TestController_SurvivesKills(t *testing.T) {
	registry := registrytest.Start(t)
	f := newFixture(t)
	second := metav1.Duration{Duration: time.Second}
	f.repository("app", func(r *v1.ImageRepository) { r.Spec.Image, r.Spec.Interval = registry.Image("org/app"), second })
	policy := f.policy("app", withReflection(v1.ReflectAlways), func(p *v1.ImagePolicy) { p.Spec.Interval = &second })
	pushed := map[string]bool{} // every ref that the registry had
	push := func(tag string) *v1.ImageRef {
		ref := image.NewRef(registry.Image("org/app"), tag, registry.Push(t, "org/app", tag))
		pushed[ref.String()] = true
		return ref
	}
	for i := range 5 {
		push(fmt.Sprintf("1.%d.0", i))
		latest := push(fmt.Sprintf("1.%d.0", i)) // moves the tag immediately
		if i%2 == 0 {
			f.Eventually(func() *v1.ImageRef { return refresh(f, policy).Status.LatestRef }).Should(Equal(latest))
		}
		f.Expect(f.controller.Kill()).To(Succeed())
		f.Expect(f.controller.Start(f.ctx)).To(Succeed())
	}
	latest := push("1.9.0")
	f.Eventually(func() *v1.ImageRef { return refresh(f, policy).Status.LatestRef }).Should(Equal(latest))
	f.Expect(pushed).To(HaveKey(policy.Status.ObservedPreviousRef.String()), "the previous ref existed")
	awaitReady(f, policy)
	counts := map[string]int{}
	for _, event := range f.events(policy) {
		counts[event]++
	}
	f.Expect(counts).To(HaveEach(1), "no event is repeated")
}

// TestController_StopsWhileRequestsHang checks that requests to a registry or an events receiver
// that hang don't delay the stop of the controller, and are not reported as failures.
func TestController_StopsWhileRequestsHang(t *testing.T) {
	registry := registrytest.Start(t)
	released := make(chan struct{})
	receiver := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-released }))
	t.Cleanup(func() { close(released) })
	f := newFixture(t, "--events-addr=http://"+receiver)
	registry.PushTags(t, "org/app", "1.0.0")
	repo := f.repository("app", func(r *v1.ImageRepository) { r.Spec.Image = registry.Image("org/app") })
	policy := f.policy("app", withReflection(v1.ReflectAlways))
	awaitReady(f, policy)

	registry.Inject(registrytest.Tags, registry.HangInBody())
	registry.Inject(registrytest.ManifestHead, registry.Hang())
	registry.Reset()
	requested := map[string]string{meta.ReconcileRequestAnnotation: "now"}
	edit(f, repo, func(r *v1.ImageRepository) { r.Annotations = requested })
	edit(f, policy, func(p *v1.ImagePolicy) { p.Annotations = requested })
	f.Eventually(func() int {
		return min(1, registry.Count(registrytest.Tags)) + min(1, registry.Count(registrytest.ManifestHead))
	}).Should(Equal(2))

	start := time.Now()
	f.Expect(f.controller.Stop()).To(Succeed())
	f.Expect(time.Since(start)).To(BeNumerically("<", 10*time.Second))
	f.Expect(f.controller.Exit()).To(MatchError(HaveSuffix("exit status 0")))
	awaitReady(f, repo)
	awaitReady(f, policy)
}

// TestImageRepository_MovesToAnotherRegistry checks that a change of the image causes no warnings
// until its tags are scanned.
func TestImageRepository_MovesToAnotherRegistry(t *testing.T) {
	before := registrytest.Start(t, registrytest.WithBasicAuth("before", secretPart))
	after := registrytest.Start(t, registrytest.WithBasicAuth("after", secretPart))
	f := newFixture(t)
	oldRef := image.NewRef(before.Image("org/app"), "1.0.0", before.Push(t, "org/app", "1.0.0"))
	newRef := image.NewRef(after.Image("org/app"), "1.0.0", after.Push(t, "org/app", "1.0.0"))
	config := fmt.Sprintf(`{"auths":{%q:{"username":"before","password":%q},%q:{"username":"after","password":%q}}}`, before.Host(), secretPart, after.Host(), secretPart)
	both := f.secret("both", corev1.SecretTypeOpaque, map[string]string{corev1.DockerConfigJsonKey: config})
	repo := f.repository("app", func(r *v1.ImageRepository) {
		r.Spec.Image, r.Spec.SecretRef = before.Image("org/app"), both
	})
	policy := f.policy("app", withReflection(v1.ReflectAlways))
	expectRefs(f, awaitReady(f, policy), oldRef, nil)

	after.Inject(registrytest.Tags, registrytest.Delay(time.Second))
	edit(f, repo, func(r *v1.ImageRepository) { r.Spec.Image = after.Image("org/app") })
	f.Eventually(func() *v1.ImageRef { return refresh(f, policy).Status.LatestRef }).Should(Equal(newRef))
	expectRefs(f, awaitReady(f, policy), newRef, oldRef)
	f.Eventually(func() []string { return f.events(policy) }).Should(HaveLen(2))
	f.Expect(f.events(policy)).To(HaveEach(HavePrefix("Normal ")))
}
