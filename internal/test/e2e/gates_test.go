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

// withGates changes the spec of a policy and makes it reflect digests.
func withGates(change func(*v1.ImagePolicySpec)) func(*v1.ImagePolicy) {
	return func(p *v1.ImagePolicy) {
		p.Spec.DigestReflectionPolicy = v1.ReflectIfNotPresent
		change(&p.Spec)
	}
}

// candidates returns the tags, verdicts and gates of the candidates of a policy.
func candidates(policy *v1.ImagePolicy) []string {
	var texts []string
	for _, c := range policy.Status.Candidates {
		text := fmt.Sprintf("%s %s", c.Tag, c.Verdict)
		if c.Gate != "" {
			text += " " + c.Gate
		}
		texts = append(texts, text)
	}
	return texts
}

// pushIndex pushes an index with images for linux and an attestation, as BuildKit does.
func (f *fixture) pushIndex(repository, tag string, architectures ...string) string {
	f.t.Helper()
	index, err := testenv.Index(repository+tag, architectures...)
	f.Expect(err).NotTo(HaveOccurred())
	attestation, err := testenv.Image("attestation of " + tag)
	f.Expect(err).NotTo(HaveOccurred())
	index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: attestation, Descriptor: ggcr.Descriptor{
		Platform:    &ggcr.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
	}})
	digest, err := suite.registry.Push(f.ctx, f.namespace+"/"+repository+":"+tag, index)
	f.Expect(err).NotTo(HaveOccurred())
	return digest
}

// awaitSelected waits until the policy selects a tag, and returns the policy.
func (f *fixture) awaitSelected(policy *v1.ImagePolicy, tag string) *v1.ImagePolicy {
	f.t.Helper()
	f.Eventually(func() string {
		if ref := refresh(f, policy).Status.LatestRef; ref != nil {
			return ref.Tag
		}
		return ""
	}).Should(Equal(tag), "%v", policy.Status)
	return policy
}

func TestGates_RejectMissingPlatform(t *testing.T) {
	f := newFixture(t)
	both := f.pushIndex("app", "1.0.0", "amd64", "arm64")
	f.pushIndex("app", "1.1.0", "amd64")
	f.push("app", "1.2.0", "one platform")
	f.repository("app")
	policy := f.policy("app", withGates(func(spec *v1.ImagePolicySpec) { spec.Platforms = []string{"linux/amd64", "linux/arm64/v8"} }))
	single := f.policy("single", withGates(func(spec *v1.ImagePolicySpec) {
		spec.ImageRepositoryRef.Name, spec.Platforms = "app", []string{"linux/amd64/v1"}
	}))

	awaitReady(f, policy)
	expectRefs(f, policy, image.NewRef(f.image("app"), "1.0.0", both), nil)
	f.Expect(candidates(policy)).To(Equal([]string{"1.2.0 Rejected platforms", "1.1.0 Rejected platforms", "1.0.0 Passed"}))
	f.Expect(policy.Status.Candidates[0].Message).To(Equal("does not provide linux/arm64, only linux/amd64"))
	f.Expect(awaitReady(f, single).Status.LatestRef.Tag).To(Equal("1.2.0"))
}

// TestGates_DelayYoungImages checks that a tag is selected as soon as the controller has seen it
// for the minimum age, whatever creation time its image states.
func TestGates_DelayYoungImages(t *testing.T) {
	const age = 6 * time.Second
	f := newFixture(t)
	f.push("app", "1.0.0", "exists before the policy, states that it is decades old")
	repo := f.repository("app")
	policy := f.policy("app", withGates(func(spec *v1.ImagePolicySpec) { spec.MinimumAge = &metav1.Duration{Duration: age} }))
	awaitReady(f, policy)
	f.Expect(candidates(policy)).To(Equal([]string{"1.0.0 Passed"}))

	f.push("app", "1.1.0", "pushed later, states that it is decades old")
	pushed := time.Now()
	requestReconcile(f, repo)
	f.Eventually(func() []string { return candidates(refresh(f, policy)) }).Should(Equal([]string{"1.1.0 Pending minimumAge", "1.0.0 Passed"}))
	eligibleAt := policy.Status.Candidates[0].EligibleAt.Time
	f.Expect(eligibleAt).To(BeTemporally("~", pushed.Add(age), 3*time.Second))

	f.awaitSelected(policy, "1.1.0")
	f.Expect(time.Now()).To(BeTemporally(">=", eligibleAt))
	f.Expect(time.Now()).To(BeTemporally("<", eligibleAt.Add(5*time.Second)), "selected immediately, without a change of an object")
	f.Expect(candidates(policy)).To(Equal([]string{"1.1.0 Passed"}))
}
