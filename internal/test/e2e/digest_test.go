// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

func reflecting(policy v1.ReflectionPolicy) func(*v1.ImagePolicy) {
	return func(p *v1.ImagePolicy) { p.Spec.DigestReflectionPolicy = policy }
}

// expectRefs expects the refs, and the deprecated fields in step with them.
func expectRefs(s *scene, p *v1.ImagePolicy, latest, previous *v1.ImageRef) {
	s.t.Helper()
	s.Expect(p.Status.LatestRef).To(Equal(latest))
	s.Expect(p.Status.ObservedPreviousRef).To(Equal(previous))
	s.Expect(p.Status.LatestImage).To(Equal(image.FormatRef(latest)))
	s.Expect(p.Status.ObservedPreviousImage).To(Equal(image.FormatRef(previous)))
}

func TestDigest_FollowsReflectionPolicy(t *testing.T) {
	s := newScene(t)
	first := s.push("app", "1.0.0", "first")
	repo, policy := s.repository("app"), s.policy("app")
	ref := func(tag, digest string) *v1.ImageRef { return image.NewRef(s.image("app"), tag, digest) }

	ready(s, policy)
	expectRefs(s, policy, ref("1.0.0", ""), nil)
	s.Expect(s.proxy.asked("manifests")).To(BeEmpty(), "Never asks for no digest")

	edit(s, policy, reflecting(v1.ReflectIfNotPresent))
	ready(s, policy)
	expectRefs(s, policy, ref("1.0.0", first), ref("1.0.0", ""))
	s.Expect(s.proxy.asked("manifests")).To(HaveLen(1))

	retagged := s.push("app", "1.0.0", "second")
	request(s, repo)
	request(s, policy)
	expectRefs(s, ready(s, policy), ref("1.0.0", first), ref("1.0.0", ""))
	s.Expect(s.proxy.asked("manifests")).To(BeEmpty(), "IfNotPresent does not look again")

	edit(s, policy, reflecting(v1.ReflectAlways))
	ready(s, policy)
	expectRefs(s, policy, ref("1.0.0", retagged), ref("1.0.0", first))

	s.Eventually(func() []string { return s.events(policy) }).Should(HaveLen(3))
	again := s.push("app", "1.0.0", "third")
	request(s, policy)
	expectRefs(s, ready(s, policy), ref("1.0.0", again), ref("1.0.0", retagged))
	s.Eventually(func() []string { return s.events(policy) }).Should(HaveLen(4))
	s.Expect(s.events(policy)).To(ContainElement(ContainSubstring("updated from 1.0.0@" + retagged + " to 1.0.0@" + again)))
	request(s, policy)
	s.Consistently(func() []string { return s.events(policy) }, "1s").Should(HaveLen(4), "a retag is told once")

	newer := s.push("app", "1.1.0", "fourth")
	request(s, repo)
	s.Eventually(func() *v1.ImageRef { return refresh(s, policy).Status.LatestRef }).Should(Equal(ref("1.1.0", newer)))
	expectRefs(s, policy, ref("1.1.0", newer), ref("1.0.0", again))

	edit(s, policy, reflecting(v1.ReflectNever))
	ready(s, policy)
	expectRefs(s, policy, ref("1.1.0", ""), ref("1.1.0", newer))
	s.Expect(s.proxy.asked("manifests/1.0.0")).NotTo(BeEmpty())
}
