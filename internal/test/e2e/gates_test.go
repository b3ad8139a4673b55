// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	ggcr "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/testenv"
	"github.com/fluxcd/image-reflector-controller/internal/image"
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
	index, err := testenv.Index(repository+tag, architectures...)
	s.Expect(err).NotTo(HaveOccurred())
	attestation, err := testenv.Image("attestation of " + tag)
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

func TestGates_RejectMissingPlatform(t *testing.T) {
	s := newScene(t)
	both := s.pushIndex("app", "1.0.0", "amd64", "arm64")
	s.pushIndex("app", "1.1.0", "amd64")
	s.push("app", "1.2.0", "one platform")
	s.repository("app")
	policy := s.policy("app", gated(func(spec *v1.ImagePolicySpec) { spec.Platforms = []string{"linux/amd64", "linux/arm64/v8"} }))
	single := s.policy("single", gated(func(spec *v1.ImagePolicySpec) {
		spec.ImageRepositoryRef.Name, spec.Platforms = "app", []string{"linux/amd64/v1"}
	}))

	ready(s, policy)
	expectRefs(s, policy, image.NewRef(s.image("app"), "1.0.0", both), nil)
	s.Expect(candidates(policy)).To(Equal([]string{"1.2.0 Rejected platforms", "1.1.0 Rejected platforms", "1.0.0 Passed"}))
	s.Expect(policy.Status.Candidates[0].Message).To(Equal("does not provide linux/arm64, only linux/amd64"))
	s.Expect(ready(s, single).Status.LatestRef.Tag).To(Equal("1.2.0"))
}

// TestGates_DelayYoungImages tests that a tag is selected when it has been there for long enough,
// and neither before nor much later, whatever its image says of its age.
func TestGates_DelayYoungImages(t *testing.T) {
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
	s.Eventually(func() []string { return candidates(refresh(s, policy)) }).Should(Equal([]string{"1.1.0 Pending minimumAge", "1.0.0 Passed"}))
	ripe := policy.Status.Candidates[0].EligibleAt.Time
	s.Expect(ripe).To(BeTemporally("~", pushed.Add(age), 3*time.Second))

	s.selected(policy, "1.1.0")
	s.Expect(time.Now()).To(BeTemporally(">=", ripe))
	s.Expect(time.Now()).To(BeTemporally("<", ripe.Add(5*time.Second)), "by itself, and at once")
	s.Expect(candidates(policy)).To(Equal([]string{"1.1.0 Passed"}))
}
