// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// noRetryPeriod is the period in which nothing may be retried.
const noRetryPeriod = 30 * time.Second

func TestInvalidImage_StallsRepositoryAndPolicy(t *testing.T) {
	f := newFixture(t)
	f.pushTags("app", "1.0.0")
	repo, policy := f.repository("app"), f.policy("app")
	awaitReady(f, policy)
	latest := policy.Status.LatestRef.DeepCopy()

	edit(f, repo, func(r *v1.ImageRepository) { r.Spec.Image = "https://" + f.image("app") })
	for _, obj := range []object{repo, policy} {
		awaitCondition(f, obj, meta.StalledCondition, metav1.ConditionTrue, v1.ImageURLInvalidReason, `remove "https://"`)
		awaitNotReady(f, obj, v1.ImageURLInvalidReason, `remove "https://"`)
	}
	expectRefs(f, policy, latest, nil)
	reconciles := f.waitForIdle()
	f.proxy.takeRequests("")
	f.Consistently(f.reconciles, noRetryPeriod, time.Second).Should(Equal(reconciles), "zero retries")
	f.Expect(f.proxy.takeRequests("")).To(BeEmpty())

	edit(f, repo, func(r *v1.ImageRepository) { r.Spec.Image = f.image("app") })
	generation := policy.Generation
	awaitReady(f, repo)
	awaitReady(f, policy)
	f.Expect(policy.Generation).To(Equal(generation), "the policy did not change")
	expectRefs(f, policy, latest, nil)
}

// TestRegistry_RecoversFromFailure checks that the failure of a registry is reported, keeps the
// results of the last scan, and ends when the registry recovers.
func TestRegistry_RecoversFromFailure(t *testing.T) {
	registry := registrytest.Start(t)
	f := newFixture(t)
	registry.PushTags(t, "org/app", "1.0.0", "1.1.0")
	repo := f.repository("app", func(r *v1.ImageRepository) { r.Spec.Image = registry.Image("org/app") })
	policy := f.policy("app")
	latest := awaitReady(f, policy).Status.LatestRef
	found := awaitReady(f, repo).Status.LastScanResult

	recoverRegistry := registry.Inject(registrytest.Tags, registrytest.Status(http.StatusServiceUnavailable, ""))
	requestReconcile(f, repo)
	awaitNotReady(f, repo, v1.ReadOperationFailedReason, "503")
	awaitCondition(f, repo, meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingWithRetryReason, "503")
	f.Expect(repo.Status.LastScanResult).To(Equal(found), "a failed scan keeps the last result")
	f.Eventually(func() string { return refresh(f, policy).Status.Conditions[0].Message }).Should(
		ContainSubstring("the scans of ImageRepository '" + f.namespace + "/app' fail"))
	f.Expect(awaitReady(f, policy).Status.LatestRef).To(Equal(latest))

	recoverRegistry()
	awaitReady(f, repo)
	f.Eventually(func() string { return refresh(f, policy).Status.Conditions[0].Message }).Should(HaveSuffix("resolved to 1.1.0"))
	f.Eventually(func() []string { return f.events(repo) }).Should(HaveLen(3), "found, failed, recovered: %v", f.events(repo))
	f.Expect(f.events(policy)).To(HaveLen(1), "no event for the policy")
}
