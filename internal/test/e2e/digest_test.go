// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

func withReflection(policy v1.ReflectionPolicy) func(*v1.ImagePolicy) {
	return func(p *v1.ImagePolicy) { p.Spec.DigestReflectionPolicy = policy }
}

// expectRefs expects the refs, and the same images in the deprecated fields.
func expectRefs(f *fixture, p *v1.ImagePolicy, latest, previous *v1.ImageRef) {
	f.t.Helper()
	f.Expect(p.Status.LatestRef).To(Equal(latest))
	f.Expect(p.Status.ObservedPreviousRef).To(Equal(previous))
	f.Expect(p.Status.LatestImage).To(Equal(image.FormatRef(latest)))
	f.Expect(p.Status.ObservedPreviousImage).To(Equal(image.FormatRef(previous)))
}

func TestDigest_FollowsReflectionPolicy(t *testing.T) {
	f := newFixture(t)
	first := f.push("app", "1.0.0", "first")
	repo, policy := f.repository("app"), f.policy("app")
	ref := func(tag, digest string) *v1.ImageRef { return image.NewRef(f.image("app"), tag, digest) }

	awaitReady(f, policy)
	expectRefs(f, policy, ref("1.0.0", ""), nil)
	f.Expect(f.proxy.takeRequests("manifests")).To(BeEmpty(), "Never requests no digest")

	edit(f, policy, withReflection(v1.ReflectIfNotPresent))
	awaitReady(f, policy)
	expectRefs(f, policy, ref("1.0.0", first), ref("1.0.0", ""))
	f.Expect(f.proxy.takeRequests("manifests")).To(HaveLen(1))

	retagged := f.push("app", "1.0.0", "second")
	requestReconcile(f, repo)
	requestReconcile(f, policy)
	expectRefs(f, awaitReady(f, policy), ref("1.0.0", first), ref("1.0.0", ""))
	f.Expect(f.proxy.takeRequests("manifests")).To(BeEmpty(), "IfNotPresent does not check the digest again")

	edit(f, policy, withReflection(v1.ReflectAlways))
	awaitReady(f, policy)
	expectRefs(f, policy, ref("1.0.0", retagged), ref("1.0.0", first))

	f.Eventually(func() []string { return f.events(policy) }).Should(HaveLen(3))
	third := f.push("app", "1.0.0", "third")
	requestReconcile(f, policy)
	expectRefs(f, awaitReady(f, policy), ref("1.0.0", third), ref("1.0.0", retagged))
	f.Eventually(func() []string { return f.events(policy) }).Should(HaveLen(4))
	f.Expect(f.events(policy)).To(ContainElement(ContainSubstring("updated from 1.0.0@" + retagged + " to 1.0.0@" + third)))
	requestReconcile(f, policy)
	f.Consistently(func() []string { return f.events(policy) }, "1s").Should(HaveLen(4), "one event per retag")

	newer := f.push("app", "1.1.0", "fourth")
	requestReconcile(f, repo)
	f.Eventually(func() *v1.ImageRef { return refresh(f, policy).Status.LatestRef }).Should(Equal(ref("1.1.0", newer)))
	expectRefs(f, policy, ref("1.1.0", newer), ref("1.0.0", third))

	edit(f, policy, withReflection(v1.ReflectNever))
	awaitReady(f, policy)
	expectRefs(f, policy, ref("1.1.0", ""), ref("1.1.0", newer))
	f.Expect(f.proxy.takeRequests("manifests/1.0.0")).NotTo(BeEmpty())
}
