// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/testenv"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// pullThroughCache starts a registry that caches the images of the suite's registry on pull, and
// requires a password.
func (f *fixture) pullThroughCache() *testenv.Registry {
	f.t.Helper()
	cache := &testenv.Registry{
		Binary: suite.binaries.Registry, Dir: filepath.Join(f.t.TempDir(), "cache"),
		Username: "reader", Password: secretPart, Upstream: suite.registry.Host(),
	}
	f.Expect(cache.Start(f.ctx)).To(Succeed())
	f.t.Cleanup(func() { _ = cache.Stop() })
	return cache
}

// TestMirrors_AreTriedBeforeTheRegistry follows a policy whose images come from a pull-through cache,
// which dies, and later replaces the registry. The names in the status are those of the registry
// throughout. The requests of the cache to the registry are not counted.
func TestMirrors_AreTriedBeforeTheRegistry(t *testing.T) {
	f := newIdleFixture(t)
	digest := f.push("app", "1.0.0", "one")
	cache := f.pullThroughCache()
	file := filepath.Join(t.TempDir(), "mirrors.toml")
	write := func(content string) {
		t.Helper()
		f.Expect(os.WriteFile(file+".next", []byte(content), 0o600)).To(Succeed())
		f.Expect(os.Rename(file+".next", file)).To(Succeed())
	}
	asMirror := fmt.Sprintf("[%q.host.\"http://%s\"]\ncapabilities = [\"pull\", \"resolve\"]\n", f.proxy.host, cache.Host())
	write(asMirror)
	f.controller = f.start(f.replica("--registry-mirrors=" + file))
	login := f.secret("login", corev1.SecretTypeDockerConfigJson, dockerConfig(f, cache.Host(), "reader", secretPart))

	repo := f.repository("app", func(r *v1.ImageRepository) { r.Spec.SecretRef = login })
	policy := f.policy("app", withReflection(v1.ReflectIfNotPresent))
	awaitReady(f, repo)
	first := image.NewRef(f.image("app"), "1.0.0", digest)
	expectRefs(f, awaitReady(f, policy), first, nil)
	f.Expect(repo.Status.ObservedImage).To(Equal(f.image("app")))
	f.Expect(f.proxy.takeRequests("")).To(BeEmpty(), "requests to the registry")
	f.Expect(f.explain(policy, "--registry-mirrors="+file, "--gates").Selected.Digest).To(Equal(digest))
	f.Expect(f.proxy.takeRequests("")).To(BeEmpty(), "requests of explain to the registry")

	f.Expect(cache.Kill()).To(Succeed())
	second := image.NewRef(f.image("app"), "1.1.0", f.push("app", "1.1.0", "two"))
	started := time.Now()
	requestReconcile(f, repo)
	expectRefs(f, f.awaitSelected(policy, "1.1.0"), second, first)
	f.Expect(time.Since(started)).To(BeNumerically("<", 10*time.Second), "the mirror refuses connections")
	f.Expect(f.proxy.takeRequests("")).To(ContainElement(HaveSuffix("/tags/list")))
	f.Expect(f.metric("image_reflector_registry_mirror_fallbacks_total", cache.Host(), "error")).To(BeNumerically(">=", 2))
	f.Expect(f.log()).To(ContainSubstring("a mirror failed, the next host is tried"))
	f.Expect(reasons(f.explain(policy, "--registry-mirrors="+file).Notes)).To(ContainElement(explain.NoteMirror))

	f.Expect(cache.Start(f.ctx)).To(Succeed())
	write(fmt.Sprintf("[%q]\nserver = \"http://%s\"\n", f.proxy.host, cache.Host()))
	f.Eventually(func() int { return strings.Count(f.log(), "registry mirrors loaded") }).Should(Equal(2), "at start, and after the change")
	f.proxy.takeRequests("")
	third := image.NewRef(f.image("app"), "1.2.0", f.push("app", "1.2.0", "three"))
	requestReconcile(f, repo)
	expectRefs(f, f.awaitSelected(policy, "1.2.0"), third, second)
	f.Expect(f.proxy.takeRequests("")).To(BeEmpty(), "the registry gets no request")

	write("[" + asMirror)
	f.Eventually(f.log).Should(ContainSubstring("the previous one stays in use"))
	f.Expect(f.scrape(f.controller)).To(ContainSubstring("\nimage_reflector_registry_mirrors_valid 0\n"))
	requestReconcile(f, repo)
	awaitReady(f, repo)
	f.Expect(f.proxy.takeRequests("")).To(BeEmpty(), "the previous configuration stays in use")
	write(asMirror)
	f.Eventually(func() string { return f.scrape(f.controller) }).Should(ContainSubstring("\nimage_reflector_registry_mirrors_valid 1\n"))
}

// TestExplain_ShowsFailedMirror checks the screen in the guide.
func TestExplain_ShowsFailedMirror(t *testing.T) {
	f := newFixture(t)
	f.pushTags("app", "1.0.0", "1.1.0")
	f.repository("app")
	awaitReady(f, f.policy("app"))
	cache := f.pullThroughCache()
	f.Expect(cache.Kill()).To(Succeed())
	file := filepath.Join(t.TempDir(), "mirrors.toml")
	f.Expect(os.WriteFile(file, fmt.Appendf(nil, "[%q.host.\"http://%s\"]\n", f.proxy.host, cache.Host()), 0o600)).To(Succeed())
	f.checkScreens("mirrors.md", "mirrors.toml", file, "mirror.example.com", cache.Host())
}

// TestMirrors_InvalidFileEndsTheStart checks that the controller does not start without the mirrors
// of its flag.
func TestMirrors_InvalidFileEndsTheStart(t *testing.T) {
	f := newIdleFixture(t)
	file := filepath.Join(t.TempDir(), "mirrors.toml")
	f.Expect(os.WriteFile(file, []byte("[\"docker.io\".host.\"https://m.example.com\"]\nskip_verify = true\n"), 0o600)).To(Succeed())
	for path, want := range map[string]string{
		file:              `mirrors.toml: [\"docker.io\".host.\"https://m.example.com\"] has the key \"skip_verify\", which is not supported`,
		file + ".missing": "no such file or directory",
	} {
		cmd := exec.CommandContext(f.ctx, suite.binaries.Controller, "--storage-path="+t.TempDir(), "--metrics-addr=0", "--health-addr=127.0.0.1:0", "--registry-mirrors="+path)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+suite.kubeconfig, "RUNTIME_NAMESPACE="+testenv.Namespace)
		out, err := cmd.CombinedOutput()
		f.Expect(err).To(MatchError("exit status 1"))
		f.Expect(string(out)).To(And(ContainSubstring("--registry-mirrors: "), ContainSubstring(want)))
		suite.evidence.storeOutput(t, string(out), "")
	}
}

// TestMirrors_ListWithoutTagMovesNothingDown covers a cache that lists only a part of the tags: the
// current tag, which it does not have, is confirmed by the registry. A tag that the registry does not
// have either is left.
func TestMirrors_ListWithoutTagMovesNothingDown(t *testing.T) {
	f := newIdleFixture(t)
	origin, mirror := registrytest.Start(t), registrytest.Start(t)
	origin.PushTags(t, "app", "1.0.0", "1.1.0")
	mirror.PushTags(t, "app", "1.0.0")
	repaired := mirror.Inject(registrytest.Any, registrytest.Status(http.StatusInternalServerError, ""))
	file := filepath.Join(t.TempDir(), "mirrors.toml")
	f.Expect(os.WriteFile(file, fmt.Appendf(nil, "[%q.host.\"http://%s\"]\n", origin.Host(), mirror.Host()), 0o600)).To(Succeed())
	f.controller = f.start(f.replica("--registry-mirrors=" + file))
	repo := f.repository("app", func(r *v1.ImageRepository) { r.Spec.Image = origin.Image("app") })
	policy := f.policy("app")
	f.awaitSelected(policy, "1.1.0")

	repaired()
	origin.Reset()
	requestReconcile(f, repo)
	f.Expect(awaitReady(f, repo).Status.LastScanResult.LatestTags).To(Equal([]string{"1.0.0"}), "the list of the mirror")
	requestReconcile(f, policy)
	f.Expect(awaitReady(f, policy).Status.LatestRef.Tag).To(Equal("1.1.0"))
	f.Expect(origin.Count(registrytest.ManifestHead)).NotTo(BeZero(), "the registry confirms the tag")
	f.Expect(origin.Count(registrytest.Tags)).To(BeZero())

	origin.Delete(t, "app", "1.1.0")
	requestReconcile(f, policy)
	f.awaitSelected(policy, "1.0.0")
}
