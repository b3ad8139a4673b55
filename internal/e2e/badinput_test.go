// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// quietTime is how long nothing may be retried.
const quietTime = 30 * time.Second

func TestUnparsableImageStallsBoth(t *testing.T) {
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

func TestAnotherImageIsFollowed(t *testing.T) {
	s := newScene(t)
	s.pushTags("app", "1.0.0", "1.5.0")
	s.pushTags("new", "1.2.0")
	repo, policy := s.repository("app"), s.policy("app")
	ready(s, policy)
	edit(s, repo, func(r *v1.ImageRepository) { r.Spec.Image = s.image("new") })
	s.Eventually(func() *v1.ImageRef { return refresh(s, policy).Status.LatestRef }).Should(Equal(image.NewRef(s.image("new"), "1.2.0", "")))
	expectRefs(s, policy, image.NewRef(s.image("new"), "1.2.0", ""), image.NewRef(s.image("app"), "1.5.0", ""))
	s.Expect(policy.Status.Conditions[0].Message).To(ContainSubstring("updated from " + s.image("app") + ":1.5.0 to 1.2.0"))
}

func TestBadPolicies(t *testing.T) {
	s := newScene(t)
	s.pushTags("app", "1.0.0")
	s.repository("app")
	stalls := func(name, message string, change func(*v1.ImagePolicy)) {
		t.Helper()
		policy := s.policy(name, func(p *v1.ImagePolicy) { p.Spec.ImageRepositoryRef.Name = "app" })
		latest := ready(s, policy).Status.LatestRef
		edit(s, policy, change)
		awaitCondition(s, policy, meta.StalledCondition, metav1.ConditionTrue, v1.InvalidPolicyReason, message)
		notReady(s, policy, v1.InvalidPolicyReason, message)
		expectRefs(s, policy, latest, nil)
		edit(s, policy, func(p *v1.ImagePolicy) { p.Spec.FilterTags, p.Spec.Policy.SemVer.Range = nil, ">=1.0.0" })
		ready(s, policy)
	}
	// these pass admission, which can't know everything
	stalls("range", "spec.policy.semver.range", func(p *v1.ImagePolicy) { p.Spec.Policy.SemVer.Range = ">=99999999999999999999999.0.0" })
	stalls("group", "spec.filterTags.extract", func(p *v1.ImagePolicy) {
		p.Spec.FilterTags = &v1.TagFilter{Pattern: `^v(?P<version>.*)$`, Extract: "$wersion"}
	})

	rejected := func(message string, change func(*v1.ImagePolicy)) {
		t.Helper()
		policy := &v1.ImagePolicy{ObjectMeta: s.meta("rejected")}
		policy.Spec.ImageRepositoryRef.Name = "app"
		change(policy)
		err := suite.api.Create(s.ctx, policy)
		s.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
		s.Expect(err).To(MatchError(ContainSubstring(message)))
	}
	rejected("set exactly one of", func(*v1.ImagePolicy) {})
	rejected("correct its operators", func(p *v1.ImagePolicy) { p.Spec.Policy.SemVer = &v1.SemVerPolicy{Range: ">>1"} })
	rejected("missing closing )", func(p *v1.ImagePolicy) {
		p.Spec.Policy.SemVer, p.Spec.FilterTags = &v1.SemVerPolicy{Range: "1"}, &v1.TagFilter{Pattern: "("}
	})
}

func TestNothingToSelectFrom(t *testing.T) {
	s := newScene(t)
	s.pushTags("app", "latest", "0.1.0")

	lonely := s.policy("lonely")
	notReady(s, lonely, meta.DependencyNotReadyReason, "ImageRepository '"+s.namespace+"/lonely' not found: create it, or correct spec.imageRepositoryRef")

	s.repository("app")
	nothing := s.policy("app")
	notReady(s, nothing, v1.NoTagSelectedReason, "none of the 2 tags")
	s.pushTags("app", "1.0.0")
	request(s, s.get("app"))
	s.Expect(ready(s, nothing).Status.LatestRef.Tag).To(Equal("1.0.0"), "a new tag is all that was missing")

	unknown := s.repository("unknown")
	notReady(s, unknown, v1.ReadOperationFailedReason, "404")
	notReady(s, s.policy("unknown"), meta.DependencyNotReadyReason, "404")
}

func (s *scene) get(name string) *v1.ImageRepository {
	s.t.Helper()
	return refresh(s, &v1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}})
}

// TestRegistryTrouble shows that a registry which fails in one way or another
// is told of clearly, and costs nothing that was known.
func TestRegistryTrouble(t *testing.T) {
	for _, tc := range []struct {
		name    string
		fault   func(*registrytest.Registry) registrytest.Fault
		reason  string
		message string
	}{
		{"unavailable", func(*registrytest.Registry) registrytest.Fault {
			return registrytest.Status(http.StatusServiceUnavailable, "")
		}, v1.ReadOperationFailedReason, "503"},
		{"denied", func(*registrytest.Registry) registrytest.Fault {
			return registrytest.Status(http.StatusForbidden, "")
		}, v1.AuthenticationFailedReason, "403"},
		{"garbage", func(*registrytest.Registry) registrytest.Fault { return registrytest.HTML() }, v1.ReadOperationFailedReason, ""},
		{"truncated", func(*registrytest.Registry) registrytest.Fault { return registrytest.Truncate(10) }, v1.ReadOperationFailedReason, ""},
		{"hangs", func(r *registrytest.Registry) registrytest.Fault { return r.Hang() }, v1.ReadOperationFailedReason, "time"},
		{"rate limited", func(*registrytest.Registry) registrytest.Fault {
			return registrytest.RetryAfter(http.StatusTooManyRequests, "2")
		}, v1.RateLimitedReason, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			registry := registrytest.Start(t)
			s := newScene(t)
			registry.PushTags(t, "org/app", "1.0.0", "1.1.0")
			repo := s.repository("app", func(r *v1.ImageRepository) {
				r.Spec.Image = registry.Image("org/app")
				r.Spec.Timeout = &metav1.Duration{Duration: 2 * time.Second}
			})
			policy := s.policy("app")
			latest := ready(s, policy).Status.LatestRef
			found := ready(s, repo).Status.LastScanResult

			heal := registry.Inject(registrytest.Tags, tc.fault(registry))
			request(s, repo)
			notReady(s, repo, tc.reason, tc.message)
			s.Expect(repo.Status.LastScanResult).To(Equal(found), "a failed scan replaces nothing")
			s.Eventually(func() string { return refresh(s, policy).Status.Conditions[0].Message }).Should(
				ContainSubstring("the scans of ImageRepository '" + s.namespace + "/app' fail"))
			s.Expect(ready(s, policy).Status.LatestRef).To(Equal(latest))

			heal()
			ready(s, repo)
			s.Eventually(func() string { return refresh(s, policy).Status.Conditions[0].Message }).Should(HaveSuffix("resolved to 1.1.0"))
			s.Eventually(func() []string { return s.events(repo) }).Should(HaveLen(3), "found, failed, recovered: %v", s.events(repo))
			s.Expect(s.events(policy)).To(HaveLen(1), "nothing became of it for the policy")
		})
	}
}

func TestRegistryDown(t *testing.T) {
	s := newScene(t)
	repo := s.repository("app", func(r *v1.ImageRepository) { r.Spec.Image = "127.0.0.1:1/org/app" })
	notReady(s, repo, v1.ReadOperationFailedReason, "refused")
	awaitCondition(s, repo, meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingWithRetryReason, "refused")
}

func TestRepositoryWithoutTags(t *testing.T) {
	registry := registrytest.Start(t)
	s := newScene(t)
	registry.Inject(registrytest.Tags, registrytest.Body("application/json", `{"name":"org/app","tags":null}`))
	repo := s.repository("app", func(r *v1.ImageRepository) { r.Spec.Image = registry.Image("org/app") })
	s.Expect(ready(s, repo).Status.LastScanResult.TagCount).To(BeZero())
	notReady(s, s.policy("app"), v1.NoTagSelectedReason, "has no tags")
}

func TestDigestWithoutHeaderIsComputed(t *testing.T) {
	registry := registrytest.Start(t)
	s := newScene(t)
	digest := registry.Push(t, "org/app", "1.0.0")
	registry.Inject(registrytest.Any, registrytest.DropHeader("Docker-Content-Digest"))
	s.repository("app", func(r *v1.ImageRepository) { r.Spec.Image = registry.Image("org/app") })
	s.Expect(ready(s, s.policy("app", reflecting(v1.ReflectIfNotPresent))).Status.LatestRef.Digest).To(Equal(digest))
}

func TestDigestThatCantBeFetched(t *testing.T) {
	registry := registrytest.Start(t)
	s := newScene(t)
	registry.PushTags(t, "org/app", "1.0.0")
	repo := s.repository("app", func(r *v1.ImageRepository) { r.Spec.Image = registry.Image("org/app") })
	policy := s.policy("app", reflecting(v1.ReflectIfNotPresent))
	latest := ready(s, policy).Status.LatestRef

	heal := registry.Inject(registrytest.ManifestHead, registrytest.Status(http.StatusInternalServerError, ""))
	registry.PushTags(t, "org/app", "1.1.0")
	request(s, repo)
	notReady(s, policy, v1.ReadOperationFailedReason, "500")
	expectRefs(s, policy, latest, nil)
	heal()
	s.Expect(ready(s, policy).Status.LatestRef.Tag).To(Equal("1.1.0"))
	s.Expect(policy.Status.ObservedPreviousRef).To(Equal(latest))
}

func TestListThatLacksTagsMovesNothing(t *testing.T) {
	registry := registrytest.Start(t)
	s := newScene(t)
	registry.PushTags(t, "org/app", "1.0.0", "1.1.0")
	repo := s.repository("app", func(r *v1.ImageRepository) { r.Spec.Image = registry.Image("org/app") })
	policy := s.policy("app")
	latest := ready(s, policy).Status.LatestRef

	heal := registry.Inject(registrytest.Tags, registrytest.Body("application/json", `{"name":"org/app","tags":["1.0.0"]}`))
	request(s, repo)
	request(s, policy)
	expectRefs(s, ready(s, policy), latest, nil)
	heal()
	registry.Delete(t, "org/app", "1.1.0")
	request(s, repo)
	request(s, policy)
	expectRefs(s, ready(s, policy), image.NewRef(registry.Image("org/app"), "1.0.0", ""), latest)
}
