// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

func withNatural(order string) func(*v1.ImagePolicy) {
	return func(p *v1.ImagePolicy) {
		p.Spec.Policy = v1.ImagePolicyChoice{Natural: &v1.NaturalPolicy{Order: order}}
	}
}

// TestNatural_SelectsLastInNaturalOrder checks a policy in both orders, when a tag is pushed.
func TestNatural_SelectsLastInNaturalOrder(t *testing.T) {
	f := newFixture(t)
	f.pushTags("k3s", "v1.30.1-k3s2", "v1.30.1-k3s10", "v1.30.2-rc9-k3s1", "v1.30.2-rc10-k3s1")
	repo := f.repository("k3s")
	policy := awaitReady(f, f.policy("k3s", withNatural("")))
	f.Expect(policy.Spec.Policy.Natural.Order).To(Equal(v1.OrderAscending))
	f.Expect(policy.Status.LatestRef.Tag).To(Equal("v1.30.2-rc10-k3s1"))

	selects := func(tag string) {
		f.t.Helper()
		f.Eventually(func() string { return refresh(f, policy).Status.LatestRef.Tag }).Should(Equal(tag))
	}
	f.pushTags("k3s", "v1.30.2-k3s1")
	requestReconcile(f, repo)
	selects("v1.30.2-k3s1")
	edit(f, policy, withNatural(v1.OrderDescending))
	selects("v1.30.1-k3s2")
	edit(f, policy, func(p *v1.ImagePolicy) {
		p.Spec.Policy.Natural.Order = v1.OrderAscending
		p.Spec.FilterTags = &v1.TagFilter{Pattern: `^v1\.30\.1-(?P<build>k3s\d+)$`, Extract: "$build"}
	})
	selects("v1.30.1-k3s10")
}

// TestLatestTags_ChangesWithoutRequest checks that a change of spec.latestTags takes effect with one
// write and no request, and does not affect policies.
func TestLatestTags_ChangesWithoutRequest(t *testing.T) {
	f := newFixture(t)
	f.pushTags("app", "2.9.0", "2.10.0", "2.10.0-rc1", "2.8.0", "v2.11.0")
	repo := awaitReady(f, f.repository("app"))
	policy := awaitReady(f, f.policy("app"))
	f.Expect(repo.Status.LastScanResult.LatestTags).To(Equal([]string{"v2.11.0", "2.10.0", "2.10.0-rc1", "2.9.0", "2.8.0"}))

	f.waitForIdle()
	f.proxy.takeRequests("")
	version, writes := refresh(f, policy).ResourceVersion, f.writes()
	edit(f, repo, func(r *v1.ImageRepository) { r.Spec.LatestTags = 2 })
	f.Eventually(func() []string { return refresh(f, repo).Status.LastScanResult.LatestTags }).Should(Equal([]string{"v2.11.0", "2.10.0"}))
	f.Expect(repo.Status.ObservedGeneration).To(Equal(repo.Generation))
	f.waitForIdle()
	f.Expect(f.writes()-writes).To(Equal(1.0), "one write of the status")
	f.Expect(f.proxy.takeRequests("")).To(BeEmpty(), "no request to the registry")
	f.Expect(refresh(f, policy).ResourceVersion).To(Equal(version), "the policy is not written")
}
