// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/api/v1beta2"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

const (
	repositoryKind = v1.ImageRepositoryKind
	policyKind     = v1.ImagePolicyKind
)

// asFlux runs a test as the flux CLI of each version of the API does.
func asFlux(t *testing.T, test func(flux)) {
	for _, version := range []schema.GroupVersion{v1.GroupVersion, v1beta2.GroupVersion} {
		t.Run(version.Version, func(t *testing.T) { test(flux{scene: newScene(t), version: version, timeout: patience}) })
	}
}

// scan is a spec of an image that is on the scene's registry.
func (f flux) scan(image string) func(part) {
	return func(p part) {
		p.repository.Image, p.repository.Interval = f.image(image), metav1.Duration{Duration: time.Minute}
	}
}

// semver is a spec of a policy for the repository "app".
func semver(versions string) func(part) {
	return func(p part) {
		p.policy.ImageRepositoryRef.Name, p.policy.Policy.SemVer = "app", &v1.SemVerPolicy{Range: versions}
	}
}

// pair creates a repository and a policy of the name "app".
func (f flux) pair() (fluxObject, fluxObject) {
	f.t.Helper()
	f.pushTags("app", "1.0.0", "1.1.0", "2.0.0")
	repo, policy := f.repository(), f.policy()
	f.Expect(f.create(repo, "app", f.scan("app"))).To(Succeed())
	f.Expect(f.create(policy, "app", semver("1.x"))).To(Succeed())
	return repo, policy
}

func TestFluxCreatesAndUpdates(t *testing.T) {
	asFlux(t, func(f flux) {
		repo, policy := f.pair()
		f.Expect(parts(repo).scanned.LastScanResult.TagCount).To(Equal(3))
		f.Expect(parts(policy).selected.LatestRef.Tag).To(Equal("1.1.0"))

		f.Expect(f.create(f.policy(), "app", semver("1.x"))).To(Succeed(), "the same again changes nothing, and is ready at once")
		f.Expect(f.create(policy, "app", semver("2.x"))).To(Succeed())
		f.Expect(parts(policy).selected.LatestRef.Tag).To(Equal("2.0.0"), "what was waited for is the new spec")
		f.Expect(f.impatient().create(repo, "app", f.scan("other"))).To(MatchError(errPatience), "an image that is not there may come yet")
		f.pushTags("other", "3.0.0")
		f.Expect(f.awaitReady(repo)).To(Succeed())
		f.Expect(parts(repo).scanned.LastScanResult.LatestTags).To(ConsistOf("3.0.0"))
	})
}

// TestFluxWaitsForASlowRegistry shows what is said while work goes on for long.
func TestFluxWaitsForASlowRegistry(t *testing.T) {
	asFlux(t, func(f flux) {
		registry := registrytest.Start(t)
		registry.PushTags(t, "org/app", "1.0.0")
		registry.Inject(registrytest.Tags, registrytest.Delay(2*time.Second))
		repo := f.repository()
		slow := func(p part) { f.scan("app")(p); p.repository.Image = registry.Image("org/app") }
		created := make(chan error, 1)
		go func() { created <- f.create(repo, "app", slow) }()
		f.Eventually(func(g Gomega) {
			found := f.find(repositoryKind, "app")
			g.Expect(found).To(HaveLen(1))
			g.Expect(found[0].GetConditions()).To(ConsistOf(
				And(HaveField("Type", meta.ReadyCondition), HaveField("Status", metav1.ConditionUnknown), HaveField("Reason", meta.ProgressingReason)),
				And(HaveField("Type", meta.ReconcilingCondition), HaveField("Status", metav1.ConditionTrue), HaveField("Reason", meta.ProgressingReason))))
			g.Expect(f.current(found[0])).To(BeFalse())
		}).Should(Succeed())
		f.Expect(<-created).To(Succeed())
		f.Expect(f.find(repositoryKind, "app")[0].GetConditions()).To(HaveLen(1), "nothing of it is left")
	})
}

// TestFluxIsToldOfMistakes shows that the CLI says at once what can't succeed,
// and does not wait for it.
func TestFluxIsToldOfMistakes(t *testing.T) {
	asFlux(t, func(f flux) {
		repo, policy := f.pair()
		f.Expect(f.create(f.repository(), "bad", func(p part) {
			f.scan("x")(p)
			p.repository.Image = "https://example.com/app"
		})).To(MatchError(ContainSubstring("it must not have a scheme")))
		f.Expect(f.create(f.policy(), "bad", semver("not a range"))).To(MatchError(ContainSubstring("range")))

		f.Expect(f.create(repo, "app", func(p part) { f.scan("app")(p); p.repository.Image += ":1.0.0" })).
			To(MatchError(ContainSubstring("it must not have a tag")))
		f.Expect(f.reconcile(f.repository(), "app")).To(MatchError(ContainSubstring("it must not have a tag")))
		f.Eventually(func() error { return f.reconcile(policy, "app") }).Should(MatchError(ContainSubstring("it must not have a tag")))
		f.Expect(f.create(repo, "app", f.scan("app"))).To(Succeed())
		f.Expect(f.awaitReady(policy)).To(Succeed(), "nobody has to ask again")
	})
}

func TestFluxGets(t *testing.T) {
	asFlux(t, func(f flux) {
		repo, policy := f.pair()
		f.Expect(f.get(repositoryKind, "app")).To(Equal([]string{"app", parts(repo).scanned.LastScanResult.ScanTime.Format(time.RFC3339),
			"false", "True", "successful scan: found 3 tags with checksum " + parts(repo).scanned.LastScanResult.Revision}))
		image := []string{f.image("app"), "1.1.0"}
		if f.version == v1beta2.GroupVersion {
			image = []string{f.image("app") + ":1.1.0"}
		}
		f.Expect(f.get(policyKind, "app")).To(Equal(append(append([]string{"app"}, image...), "True",
			"Latest image tag for '"+f.image("app")+"' resolved to 1.1.0")))

		digest := func(p part) { semver("1.x")(p); p.policy.DigestReflectionPolicy = v1.ReflectIfNotPresent }
		f.Expect(f.create(policy, "app", digest)).To(Succeed())
		f.Expect(f.get(policyKind, "app")[1:len(image)+1]).To(Equal(image), "a digest is not part of the columns")

		f.Expect(f.find(policyKind, "other")).To(BeEmpty())
		f.Expect(suite.api.Create(f.ctx, f.orphan())).To(Succeed())
		f.Eventually(func() []string { return f.get(policyKind, "orphan") }).Should(ContainElement(ContainSubstring("not found")))
		f.Expect(f.get(policyKind, "orphan")).To(ContainElements("False"))
	})
}

// orphan is a policy without a repository.
func (f flux) orphan() fluxObject {
	policy := f.policy()
	policy.SetNamespace(f.namespace)
	policy.SetName("orphan")
	policy.SetLabels(map[string]string{shardLabel: f.namespace})
	semver("1.x")(parts(policy))
	parts(policy).policy.ImageRepositoryRef.Name = "nobody"
	return policy
}

func TestFluxReconciles(t *testing.T) {
	asFlux(t, func(f flux) {
		repo, policy := f.pair()
		f.pushTags("app", "1.2.0")
		f.Expect(f.reconcile(repo, "app")).To(Succeed())
		f.Expect(parts(repo).scanned.LastScanResult.TagCount).To(Equal(4), "what is read then is the new scan")
		f.Expect(f.reconcile(policy, "app")).To(Succeed())
		f.Expect(parts(policy).selected.LatestRef.Tag).To(Equal("1.2.0"))
		f.Expect(handled(policy)).To(Equal(policy.GetAnnotations()[meta.ReconcileRequestAnnotation]))

		f.suspend(policyKind, "app", true)
		f.Expect(f.reconcile(f.policy(), "app")).To(MatchError("resource is suspended"))
		f.Expect(f.reconcile(f.policy(), "nobody")).To(MatchError(apierrors.IsNotFound, "IsNotFound"))
		f.Expect(f.impatient().create(f.policy(), "orphan", func(p part) { semver("1.x")(p); p.policy.ImageRepositoryRef.Name = "nobody" })).
			To(MatchError(errPatience))
		f.Expect(f.impatient().reconcile(f.policy(), "orphan")).To(MatchError(errPatience), "what is missing may come yet")
	})
}

func TestFluxSuspendsAndResumes(t *testing.T) {
	asFlux(t, func(f flux) {
		repo, policy := f.pair()
		before := parts(policy).selected.DeepCopy()
		for _, kind := range []string{repositoryKind, policyKind} {
			f.suspend(kind, "app", true)
		}
		f.pushTags("app", "1.3.0")
		f.Expect(f.annotate(repo, "asked")).To(Succeed())
		f.Expect(f.annotate(policy, "asked")).To(Succeed())
		f.settledSoon()
		f.Expect(f.get(repositoryKind, "app")).To(ContainElements("true", "True"), "it is suspended, and its last scan was good")
		suspended := f.find(policyKind, "app")[0]
		f.Expect(parts(suspended).selected).To(Equal(before), "a suspended object is left as it is")
		f.Expect(f.current(suspended)).To(BeFalse(), "to kstatus, its new spec is still to be dealt with")

		f.Expect(f.awaitReady(f.suspend(repositoryKind, "app", false))).To(Succeed())
		f.Expect(f.awaitReady(f.suspend(policyKind, "app", false))).To(Succeed())
		f.Eventually(func() string { return parts(f.find(policyKind, "app")[0]).selected.LatestRef.Tag }).Should(Equal("1.3.0"))
		f.Expect(handled(f.find(policyKind, "app")[0])).To(Equal("asked"), "a request is not lost")
	})
}

func TestFluxDeletes(t *testing.T) {
	asFlux(t, func(f flux) {
		repo, policy := f.pair()
		f.Expect(suite.api.Delete(f.ctx, policy)).To(Succeed())
		f.Expect(f.find(policyKind, "app")).To(BeEmpty(), "there is nothing to wait for")
		f.Expect(suite.api.Delete(f.ctx, repo, client.PropagationPolicy(metav1.DeletePropagationBackground))).To(Succeed())
		f.Expect(f.find(repositoryKind, "app")).To(BeEmpty(), "as kustomize-controller prunes")
		f.Expect(suite.api.Delete(f.ctx, repo)).To(MatchError(apierrors.IsNotFound, "IsNotFound"))
		f.pair() // as if there had never been anything
	})
}

// TestFluxExports shows that what is exported can be applied again, and that
// nothing of it is the controller's.
func TestFluxExports(t *testing.T) {
	asFlux(t, func(f flux) {
		f.pair()
		for _, kind := range []string{repositoryKind, policyKind} {
			live := f.find(kind, "app")[0]
			before := live.GetGeneration()
			exported := f.new(kind)
			exported.SetNamespace(live.GetNamespace())
			exported.SetName(live.GetName())
			exported.SetLabels(live.GetLabels())
			exported.SetAnnotations(live.GetAnnotations())
			if p := parts(live); p.repository != nil {
				*parts(exported).repository = *p.repository
			} else {
				*parts(exported).policy = *p.policy
			}
			text, err := yaml.Marshal(exported)
			f.Expect(err).NotTo(HaveOccurred())
			again := f.new(kind)
			f.Expect(yaml.UnmarshalStrict(text, again)).To(Succeed())
			again.SetResourceVersion(live.GetResourceVersion())
			f.Expect(suite.api.Update(f.ctx, again)).To(Succeed())
			f.Expect(again.GetGeneration()).To(Equal(before), "the spec holds nothing that the user did not write")
			f.Expect(again.GetAnnotations()).To(BeEmpty())
		}
	})
}

func TestFluxReadsEvents(t *testing.T) {
	asFlux(t, func(f flux) {
		f.pair()
		f.Eventually(func() []string { return f.eventsFor(repositoryKind, "app") }).
			Should(ConsistOf(HavePrefix("Normal Succeeded successful scan: found 3 tags")))
		f.Eventually(func() []string { return f.eventsFor(policyKind, "app") }).
			Should(ConsistOf("Normal Succeeded Latest image tag for '" + f.image("app") + "' resolved to 1.1.0"))
		f.Expect(f.create(f.repository(), "bad", func(p part) { f.scan("x")(p); p.repository.Image = "x:1/y:2" })).To(HaveOccurred())
		f.Eventually(func() []string { return f.eventsFor(repositoryKind, "bad") }).Should(ConsistOf(HavePrefix("Warning ImageURLInvalid")))
	})
}
