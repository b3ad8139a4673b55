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

// readmeExample returns the objects of the README's first example.
func readmeExample(g Gomega) (*v1.ImageRepository, *v1.ImagePolicy) {
	readme, err := os.ReadFile("../../../README.md")
	g.Expect(err).NotTo(HaveOccurred())
	_, example, found := strings.Cut(string(readme), "```yaml\n# podinfo.yaml\n")
	g.Expect(found).To(BeTrue(), "the README has the example podinfo.yaml")
	example, _, _ = strings.Cut(example, "```")
	documents := strings.Split(example, "---\n")
	g.Expect(documents).To(HaveLen(2))
	repo, policy := &v1.ImageRepository{}, &v1.ImagePolicy{}
	g.Expect(yaml.UnmarshalStrict([]byte(documents[0]), repo)).To(Succeed())
	g.Expect(yaml.UnmarshalStrict([]byte(documents[1]), policy)).To(Succeed())
	return repo, policy
}

// TestGHCR_PinsReadmeExample has the controller scan and pin the README's
// example as users apply it: from the imitation of GHCR, which the controller
// reaches under GHCR's name by the proxy of its environment.
func TestGHCR_PinsReadmeExample(t *testing.T) {
	s := emptyScene(t)
	zoo := registrytest.StartZoo(t)
	digest := zoo.Registry("ghcr.io").PushTags(t, "stefanprodan/podinfo", "5.2.1", "6.0.0", "6.1.0-rc.1", "latest")
	controller := s.replica()
	controller.Env = []string{"HTTPS_PROXY=" + zoo.Proxy().String(), "SSL_CERT_FILE=" + zoo.CertFile(t)}
	s.start(controller)
	repo, policy := readmeExample(s)
	repo.ObjectMeta, policy.ObjectMeta = s.meta(repo.Name), s.meta(policy.Name)
	s.Expect(suite.api.Create(s.ctx, repo)).To(Succeed())
	s.Expect(suite.api.Create(s.ctx, policy)).To(Succeed())
	ready(s, policy)
	s.Expect(*policy.Status.LatestRef).To(Equal(v1.ImageRef{
		Name: "ghcr.io/stefanprodan/podinfo", Image: "ghcr.io/stefanprodan/podinfo", Tag: "6.0.0", Digest: digest,
	}))
	var tokens []string
	for _, request := range zoo.Requests() {
		if request.Kind == registrytest.Token {
			tokens = append(tokens, request.Method+" "+request.Host+request.Path+"?"+request.Query)
		}
	}
	s.Expect(tokens).To(Equal([]string{"GET ghcr.io/token?scope=repository%3Astefanprodan%2Fpodinfo%3Apull&service=ghcr.io"}),
		"as record 0052 quotes it")
	s.Expect(zoo.Leaks()).To(BeEmpty())
}
