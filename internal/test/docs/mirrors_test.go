// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/mirrors"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// TestMirrors_FilesAreValid checks the files of --registry-mirrors on the pages: as TOML, and in the
// ConfigMap.
func TestMirrors_FilesAreValid(t *testing.T) {
	g := NewWithT(t)
	authority := func(string) ([]byte, error) { return registrytest.NewAuthority(t).PEM(), nil }
	alpine, err := image.Parse("alpine", false)
	g.Expect(err).NotTo(HaveOccurred())
	checked := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks() {
			file := b.text
			if b.info != "toml" {
				var config corev1.ConfigMap
				if b.info != "yaml" || yaml.Unmarshal([]byte(b.text), &config) != nil || config.Data["mirrors.toml"] == "" {
					continue
				}
				file = config.Data["mirrors.toml"]
			}
			config, err := mirrors.Parse([]byte(file), authority)
			g.Expect(err).NotTo(HaveOccurred(), "%s:%d", p.path, b.line)
			g.Expect(config.Hosts(alpine)[0].Image.Canonical()).To(Equal("mirror.example.com/dockerhub/library/alpine"), "%s:%d", p.path, b.line)
			checked++
		}
	}
	g.Expect(checked).To(Equal(2))
}
