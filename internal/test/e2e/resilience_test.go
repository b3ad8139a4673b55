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

// TestController_SurvivesKills shows that no crash costs the truth, at whatever
// moment it comes.
func TestController_SurvivesKills(t *testing.T) {
	registry := registrytest.Start(t)
	s := newScene(t)
	second := metav1.Duration{Duration: time.Second}
	s.repository("app", func(r *v1.ImageRepository) { r.Spec.Image, r.Spec.Interval = registry.Image("org/app"), second })
	policy := s.policy("app", reflecting(v1.ReflectAlways), func(p *v1.ImagePolicy) { p.Spec.Interval = &second })
	held := map[string]bool{} // every ref that there ever was
	push := func(tag string) *v1.ImageRef {
		ref := image.NewRef(registry.Image("org/app"), tag, registry.Push(t, "org/app", tag))
		held[ref.String()] = true
		return ref
	}
	for i := range 5 {
		push(fmt.Sprintf("1.%d.0", i))
		latest := push(fmt.Sprintf("1.%d.0", i)) // moved at once
		if i%2 == 0 {
			s.Eventually(func() *v1.ImageRef { return refresh(s, policy).Status.LatestRef }).Should(Equal(latest))
		}
		s.Expect(s.controller.Kill()).To(Succeed())
		s.Expect(s.controller.Start(s.ctx)).To(Succeed())
	}
	latest := push("1.9.0")
	s.Eventually(func() *v1.ImageRef { return refresh(s, policy).Status.LatestRef }).Should(Equal(latest))
	s.Expect(held).To(HaveKey(policy.Status.ObservedPreviousRef.String()), "the previous ref was the latest once")
	ready(s, policy)
	told := map[string]int{}
	for _, event := range s.events(policy) {
		told[event]++
	}
	s.Expect(told).To(HaveEach(1), "nothing is told twice")
}

// TestController_StopsWhileRequestsHang shows that neither a registry nor a receiver of
// events keeps the process from ending before it would be killed, and that the
// end is not taken for a failure.
func TestController_StopsWhileRequestsHang(t *testing.T) {
	registry := registrytest.Start(t)
	released := make(chan struct{})
	receiver := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-released }))
	t.Cleanup(func() { close(released) })
	s := newScene(t, "--events-addr=http://"+receiver)
	registry.PushTags(t, "org/app", "1.0.0")
	repo := s.repository("app", func(r *v1.ImageRepository) { r.Spec.Image = registry.Image("org/app") })
	policy := s.policy("app", reflecting(v1.ReflectAlways))
	ready(s, policy)

	registry.Inject(registrytest.Tags, registry.HangInBody())
	registry.Inject(registrytest.ManifestHead, registry.Hang())
	registry.Reset()
	requested := map[string]string{meta.ReconcileRequestAnnotation: "now"}
	edit(s, repo, func(r *v1.ImageRepository) { r.Annotations = requested })
	edit(s, policy, func(p *v1.ImagePolicy) { p.Annotations = requested })
	s.Eventually(func() int {
		return min(1, registry.Count(registrytest.Tags)) + min(1, registry.Count(registrytest.ManifestHead))
	}).Should(Equal(2))

	start := time.Now()
	s.Expect(s.controller.Stop()).To(Succeed())
	s.Expect(time.Since(start)).To(BeNumerically("<", 10*time.Second))
	s.Expect(s.controller.Exit()).To(MatchError(HaveSuffix("exit status 0")))
	ready(s, repo)
	ready(s, policy)
}

// TestImageRepository_MovesToAnotherRegistry shows that nobody is alarmed while the tags of the
// new image are still to be scanned.
func TestImageRepository_MovesToAnotherRegistry(t *testing.T) {
	before := registrytest.Start(t, registrytest.WithBasicAuth("before", secretPart))
	after := registrytest.Start(t, registrytest.WithBasicAuth("after", secretPart))
	s := newScene(t)
	from := image.NewRef(before.Image("org/app"), "1.0.0", before.Push(t, "org/app", "1.0.0"))
	to := image.NewRef(after.Image("org/app"), "1.0.0", after.Push(t, "org/app", "1.0.0"))
	config := fmt.Sprintf(`{"auths":{%q:{"username":"before","password":%q},%q:{"username":"after","password":%q}}}`, before.Host(), secretPart, after.Host(), secretPart)
	both := s.secret("both", corev1.SecretTypeOpaque, map[string]string{corev1.DockerConfigJsonKey: config})
	repo := s.repository("app", func(r *v1.ImageRepository) {
		r.Spec.Image, r.Spec.SecretRef = before.Image("org/app"), both
	})
	policy := s.policy("app", reflecting(v1.ReflectAlways))
	expectRefs(s, ready(s, policy), from, nil)

	after.Inject(registrytest.Tags, registrytest.Delay(time.Second))
	edit(s, repo, func(r *v1.ImageRepository) { r.Spec.Image = after.Image("org/app") })
	s.Eventually(func() *v1.ImageRef { return refresh(s, policy).Status.LatestRef }).Should(Equal(to))
	expectRefs(s, ready(s, policy), to, from)
	s.Eventually(func() []string { return s.events(policy) }).Should(HaveLen(2))
	s.Expect(s.events(policy)).To(HaveEach(HavePrefix("Normal ")))
}
