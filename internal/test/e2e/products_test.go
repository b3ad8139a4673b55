// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"os"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// readmeExample returns the objects of the first example in the README.
func readmeExample(g Gomega) (*v1.ImageRepository, *v1.ImagePolicy) {
	readme, err := os.ReadFile("../../../README.md")
	g.Expect(err).NotTo(HaveOccurred())
	_, example, found := strings.Cut(string(readme), "```yaml\n# podinfo.yaml\n")
	g.Expect(found).To(BeTrue(), "the README contains the example podinfo.yaml")
	example, _, _ = strings.Cut(example, "```")
	documents := strings.Split(example, "---\n")
	g.Expect(documents).To(HaveLen(2))
	repo, policy := &v1.ImageRepository{}, &v1.ImagePolicy{}
	g.Expect(yaml.UnmarshalStrict([]byte(documents[0]), repo)).To(Succeed())
	g.Expect(yaml.UnmarshalStrict([]byte(documents[1]), policy)).To(Succeed())
	return repo, policy
}

// TestGHCR_PinsReadmeExample checks that the controller scans and pins the README's example. The
// fake registry imitates GHCR, and the controller reaches it under GHCR's name through a proxy.
func TestGHCR_PinsReadmeExample(t *testing.T) {
	f := newIdleFixture(t)
	registries := registrytest.StartFakeRegistries(t)
	digest := registries.Registry("ghcr.io").PushTags(t, "stefanprodan/podinfo", "5.2.1", "6.0.0", "6.1.0-rc.1", "latest")
	controller := f.replica()
	controller.Env = []string{"HTTPS_PROXY=" + registries.Proxy().String(), "SSL_CERT_FILE=" + registries.CertFile(t)}
	f.start(controller)
	repo, policy := readmeExample(f)
	repo.ObjectMeta, policy.ObjectMeta = f.meta(repo.Name), f.meta(policy.Name)
	f.Expect(suite.api.Create(f.ctx, repo)).To(Succeed())
	f.Expect(suite.api.Create(f.ctx, policy)).To(Succeed())
	awaitReady(f, policy)
	f.Expect(*policy.Status.LatestRef).To(Equal(v1.ImageRef{
		Name: "ghcr.io/stefanprodan/podinfo", Image: "ghcr.io/stefanprodan/podinfo", Tag: "6.0.0", Digest: digest,
	}))
	var tokens []string
	for _, request := range registries.Requests() {
		if request.Kind == registrytest.Token {
			tokens = append(tokens, request.Method+" "+request.Host+request.Path+"?"+request.Query)
		}
	}
	f.Expect(tokens).To(Equal([]string{"GET ghcr.io/token?scope=repository%3Astefanprodan%2Fpodinfo%3Apull&service=ghcr.io"}),
		"the token request that design record 0052 quotes")
	f.Expect(registries.Leaks()).To(BeEmpty())
}
