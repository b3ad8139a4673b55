// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	ggcr "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/api/v1beta2"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// gated changes the spec of a policy that reflects digests.
func gated(change func(*v1.ImagePolicySpec)) func(*v1.ImagePolicy) {
	return func(p *v1.ImagePolicy) {
		p.Spec.DigestReflectionPolicy = v1.ReflectIfNotPresent
		change(&p.Spec)
	}
}

// candidates returns what became of the candidates of a policy.
func candidates(policy *v1.ImagePolicy) []string {
	var all []string
	for _, c := range policy.Status.Candidates {
		text := fmt.Sprintf("%s %s", c.Tag, c.Verdict)
		if c.Gate != "" {
			text += " " + c.Gate
		}
		all = append(all, text)
	}
	return all
}

// pushIndex pushes an index with images for linux, as BuildKit makes them: each of
// them with an attestation.
func (s *scene) pushIndex(repository, tag string, architectures ...string) string {
	s.t.Helper()
	index, err := stage.Index(repository+tag, architectures...)
	s.Expect(err).NotTo(HaveOccurred())
	attestation, err := stage.Image("attestation of " + tag)
	s.Expect(err).NotTo(HaveOccurred())
	index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: attestation, Descriptor: ggcr.Descriptor{
		Platform:    &ggcr.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
	}})
	digest, err := suite.registry.Push(s.ctx, s.namespace+"/"+repository+":"+tag, index)
	s.Expect(err).NotTo(HaveOccurred())
	return digest
}

// selected waits until the policy selects a tag, and returns it.
func (s *scene) selected(policy *v1.ImagePolicy, tag string) *v1.ImagePolicy {
	s.t.Helper()
	s.Eventually(func() string {
		if ref := refresh(s, policy).Status.LatestRef; ref != nil {
			return ref.Tag
		}
		return ""
	}).Should(Equal(tag), "%v", policy.Status)
	return policy
}

func TestPlatforms(t *testing.T) {
	s := newScene(t)
	both := s.pushIndex("app", "1.0.0", "amd64", "arm64")
	s.pushIndex("app", "1.1.0", "amd64")
	s.push("app", "1.2.0", "one platform")
	repo := s.repository("app")
	policy := s.policy("app", gated(func(spec *v1.ImagePolicySpec) { spec.Platforms = []string{"linux/amd64", "linux/arm64/v8"} }))
	single := s.policy("single", gated(func(spec *v1.ImagePolicySpec) {
		spec.ImageRepositoryRef.Name, spec.Platforms = "app", []string{"linux/amd64/v1"}
	}))

	ready(s, policy)
	expectRefs(s, policy, image.NewRef(s.image("app"), "1.0.0", both), nil)
	s.Expect(candidates(policy)).To(Equal([]string{"1.2.0 Rejected platforms", "1.1.0 Rejected platforms", "1.0.0 Passed"}))
	s.Expect(policy.Status.Candidates[0].Message).To(Equal("does not provide linux/arm64, only linux/amd64"))
	s.Expect(ready(s, single).Status.LatestRef.Tag).To(Equal("1.2.0"))

	old := &v1beta2.ImagePolicy{}
	s.Expect(suite.api.Get(s.ctx, client.ObjectKeyFromObject(policy), old)).To(Succeed())
	s.Expect(old.Spec).To(Equal(policy.Spec))
	s.Expect(old.Status.Candidates).To(Equal(policy.Status.Candidates))

	s.proxy.asked("")
	s.push("app", "0.1.0", "a scan that changes nothing for the policies")
	request(s, repo)
	s.Eventually(func() int { return refresh(s, repo).Status.LastScanResult.TagCount }).Should(Equal(4))
	s.settledSoon()
	s.Expect(s.proxy.asked("")).To(HaveLen(1), "the list alone: what was judged is known")

	edit(s, policy, reflecting(v1.ReflectAlways))
	ready(s, policy)
	s.Expect(s.proxy.asked("")).To(Equal([]string{"HEAD /v2/" + s.namespace + "/app/manifests/1.0.0"}), "an unchanged winner costs one request")

	versions := refresh(s, policy).ResourceVersion
	s.Expect(s.controller.Stop()).To(Succeed())
	s.Expect(s.controller.Start(s.ctx)).To(Succeed())
	s.settled()
	s.Expect(s.proxy.asked("")).To(BeEmpty(), "a restart asks for nothing")
	s.Expect(refresh(s, policy).ResourceVersion).To(Equal(versions))
}

// TestMinimumAge tests that a tag is selected when it has been there for long enough,
// and neither before nor much later, whatever its image says of its age.
func TestMinimumAge(t *testing.T) {
	const age = 6 * time.Second
	s := newScene(t)
	s.push("app", "1.0.0", "was there before, and says that it is decades old")
	repo := s.repository("app")
	policy := s.policy("app", gated(func(spec *v1.ImagePolicySpec) { spec.MinimumAge = &metav1.Duration{Duration: age} }))
	ready(s, policy)
	s.Expect(candidates(policy)).To(Equal([]string{"1.0.0 Passed"}))

	s.push("app", "1.1.0", "says so too, but was not there")
	pushed := time.Now()
	request(s, repo)
	s.Eventually(func() []string { return candidates(refresh(s, policy)) }).Should(Equal([]string{"1.1.0 Ripening minimumAge", "1.0.0 Passed"}))
	ripe := policy.Status.Candidates[0].EligibleAt.Time
	s.Expect(ripe).To(BeTemporally("~", pushed.Add(age), 3*time.Second))

	s.selected(policy, "1.1.0")
	s.Expect(time.Now()).To(BeTemporally(">=", ripe))
	s.Expect(time.Now()).To(BeTemporally("<", ripe.Add(5*time.Second)), "by itself, and at once")
	s.Expect(candidates(policy)).To(Equal([]string{"1.1.0 Passed"}))
}

func TestExclude(t *testing.T) {
	s := newScene(t)
	s.pushTags("app", "1.0.0", "1.1.0", "1.2.0")
	s.repository("app")
	policy := s.policy("app")
	s.selected(policy, "1.2.0")
	edit(s, policy, func(p *v1.ImagePolicy) { p.Spec.Exclude = []string{"1.2.0", "9.9.9"} })
	s.selected(policy, "1.1.0")
	s.Expect(s.proxy.asked("manifests")).To(BeEmpty(), "to hold a tag back asks for nothing, not even whether it is gone")
	edit(s, policy, func(p *v1.ImagePolicy) { p.Spec.Exclude = nil })
	s.selected(policy, "1.2.0")
}

func TestNewestByFirstSeen(t *testing.T) {
	s := newScene(t)
	s.pushTags("app", "main-ffff", "main-0000")
	repo := s.repository("app")
	policy := s.policy("app", func(p *v1.ImagePolicy) {
		p.Spec.Policy = v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: v1.TimeFirstSeen}}
	})
	s.selected(policy, "main-ffff")
	s.Eventually(time.Now).Should(BeTemporally(">", refresh(s, repo).Status.LastScanResult.ScanTime.Add(time.Second)))
	s.push("app", "main-7777", "newer")
	request(s, repo)
	s.selected(policy, "main-7777")
	s.Expect(s.proxy.asked("manifests")).To(BeEmpty())
}

// TestNewestByCreated reads the times of a thousand images, within the rate of the
// registry's gate, and goes on after a kill.
func TestNewestByCreated(t *testing.T) {
	const (
		images      = 1000
		rate, burst = 200, 100
	)
	s := newScene(t, fmt.Sprintf("--registry-qps=%d", rate), fmt.Sprintf("--registry-burst=%d", burst))
	registry := registrytest.Start(t)
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range images {
		made := first.Add(time.Duration((i*7)%images) * time.Hour)
		registry.PushImage(t, "org/app", fmt.Sprintf("main-%03d", i), createdAt(s, made))
	}
	registry.PushImage(t, "org/app", "v1.0.0", createdAt(s, first.Add(images*time.Hour))) // filtered out
	registry.Reset()
	s.repository("app", func(r *v1.ImageRepository) { r.Spec.Image = registry.Image("org/app") })
	begun := time.Now()
	policy := s.policy("app", func(p *v1.ImagePolicy) {
		p.Spec.Policy = v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: v1.TimeCreated}}
		p.Spec.FilterTags = &v1.TagFilter{Pattern: "^main-"}
	})
	s.Eventually(func() int { return registry.Count(registrytest.Blob) }).Should(BeNumerically(">", images/2))
	s.Expect(s.controller.Kill()).To(Succeed())
	s.Expect(s.controller.Start(s.ctx)).To(Succeed())

	s.selected(policy, fmt.Sprintf("main-%03d", (images-1)*143%images)) // 7 * 143 = 1001
	s.Expect(registry.Count(registrytest.Blob)).To(BeNumerically("<=", images+64), "what was read before the kill is not read again, but for a part")
	s.Expect(registry.Count(registrytest.ManifestGet)).To(BeNumerically("<=", images+64))
	allowed := 2*burst + rate*time.Since(begun).Seconds()
	s.Expect(registry.Count(registrytest.Any)).To(BeNumerically("<=", int(allowed)), "the rate is kept")
	s.Expect(registry.PeakConnections()).To(BeNumerically("<=", 16), "and so is the bound of what is under way")

	registry.Reset()
	registry.PushImage(t, "org/app", "main-new", createdAt(s, first.Add(2*images*time.Hour)))
	repo := &v1.ImageRepository{ObjectMeta: s.meta("app")}
	request(s, repo)
	s.selected(policy, "main-new")
	s.Expect(registry.Counts()).To(Equal(map[registrytest.Kind]int{registrytest.Tags: 2, registrytest.ManifestGet: 1, registrytest.Blob: 1}), "the pages of the list, and one more image")
}

func createdAt(s *scene, at time.Time) ggcr.Image {
	img, err := mutate.CreatedAt(empty.Image, ggcr.Time{Time: at})
	s.Expect(err).NotTo(HaveOccurred())
	return img
}
