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

// quietTime is how long nothing may be retried.
const quietTime = 30 * time.Second

func TestInvalidImage_StallsRepositoryAndPolicy(t *testing.T) {
	s := newScene(t)
	s.pushTags("app", "1.0.0")
	repo, policy := s.repository("app"), s.policy("app")
	ready(s, policy)
	latest := policy.Status.LatestRef.DeepCopy()

	edit(s, repo, func(r *v1.ImageRepository) { r.Spec.Image = "https://" + s.image("app") })
	for _, obj := range []object{repo, policy} {
		awaitCondition(s, obj, meta.StalledCondition, metav1.ConditionTrue, v1.ImageURLInvalidReason, `remove "https://"`)
		notReady(s, obj, v1.ImageURLInvalidReason, `remove "https://"`)
	}
	expectRefs(s, policy, latest, nil)
	reconciles := s.settled()
	s.proxy.asked("")
	s.Consistently(s.reconciles, quietTime, time.Second).Should(Equal(reconciles), "zero retries")
	s.Expect(s.proxy.asked("")).To(BeEmpty())

	edit(s, repo, func(r *v1.ImageRepository) { r.Spec.Image = s.image("app") })
	generation := policy.Generation
	ready(s, repo)
	ready(s, policy)
	s.Expect(policy.Generation).To(Equal(generation), "the policy was not touched")
	expectRefs(s, policy, latest, nil)
}

// TestRegistry_RecoversFromFailure shows that a registry which fails is reported clearly, costs
// nothing that was known, and is found up again.
func TestRegistry_RecoversFromFailure(t *testing.T) {
	registry := registrytest.Start(t)
	s := newScene(t)
	registry.PushTags(t, "org/app", "1.0.0", "1.1.0")
	repo := s.repository("app", func(r *v1.ImageRepository) { r.Spec.Image = registry.Image("org/app") })
	policy := s.policy("app")
	latest := ready(s, policy).Status.LatestRef
	found := ready(s, repo).Status.LastScanResult

	heal := registry.Inject(registrytest.Tags, registrytest.Status(http.StatusServiceUnavailable, ""))
	request(s, repo)
	notReady(s, repo, v1.ReadOperationFailedReason, "503")
	awaitCondition(s, repo, meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingWithRetryReason, "503")
	s.Expect(repo.Status.LastScanResult).To(Equal(found), "a failed scan replaces nothing")
	s.Eventually(func() string { return refresh(s, policy).Status.Conditions[0].Message }).Should(
		ContainSubstring("the scans of ImageRepository '" + s.namespace + "/app' fail"))
	s.Expect(ready(s, policy).Status.LatestRef).To(Equal(latest))

	heal()
	ready(s, repo)
	s.Eventually(func() string { return refresh(s, policy).Status.Conditions[0].Message }).Should(HaveSuffix("resolved to 1.1.0"))
	s.Eventually(func() []string { return s.events(repo) }).Should(HaveLen(3), "found, failed, recovered: %v", s.events(repo))
	s.Expect(s.events(policy)).To(HaveLen(1), "nothing became of it for the policy")
}
