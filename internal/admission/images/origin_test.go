// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/admission/images"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

const (
	revisionKey = "org.opencontainers.image.revision"
	sourceKey   = "org.opencontainers.image.source"
)

func originKeys(revision string) map[string]string {
	return map[string]string{revisionKey: revision, sourceKey: "https://git/" + revision}
}

func labelled(revision string) string {
	config, _ := json.Marshal(map[string]any{
		"os": "linux", "architecture": "amd64", "config": map[string]any{"Labels": originKeys(revision)},
	})
	return string(config)
}

// TestRead_ReturnsOriginWithoutRequests checks that the origin is taken from what is read anyway:
// annotations first, because labels may be those of a base image.
func TestRead_ReturnsOriginWithoutRequests(t *testing.T) {
	for _, tt := range []struct {
		reason           string
		push             func(p pusher)
		wants            admission.ReadOptions
		revision         string
		manifests, blobs int
	}{
		{"annotations of a manifest", func(p pusher) {
			p.manifest("1", ociManifest, labelled("label"), originKeys("annotation"))
		}, platformsOnly, "annotation", 1, 1},
		{"labels", func(p pusher) { p.manifest("1", ociManifest, labelled("label"), nil) }, platformsOnly, "label", 1, 1},
		{"one annotation: the labels are not mixed with it", func(p pusher) {
			p.manifest("1", ociManifest, labelled("label"), map[string]string{revisionKey: "annotation"})
		}, platformsOnly, "annotation", 1, 1},
		{"labels that are not read", func(p pusher) {
			annotations := map[string]string{admission.CreatedKey: "2020-01-01T00:00:00Z"}
			p.manifest("1", ociManifest, labelled("label"), annotations)
		}, createdOnly, "", 1, 0},
		{"annotations of an index", func(p pusher) {
			p.index("1", ociIndex, originKeys("index"), part{Digest: p.image(1), Platform: platformOf("linux", "amd64", "")})
		}, platformsOnly, "index", 1, 0},
		{"labels of an image of an index", func(p pusher) {
			p.index("1", ociIndex, nil, part{Digest: p.manifest("", ociManifest, labelled("label"), nil), Platform: platformOf("linux", "amd64", "")})
		}, createdOnly, "label", 2, 1},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			reg, source := startRegistry(t)
			tt.push(pusher{t, reg})
			info, err := images.Read(t.Context(), source, "1", tt.wants)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(info.Revision).To(Equal(tt.revision))
			if info.Source != "" {
				g.Expect(info.Source).To(Equal("https://git/" + tt.revision))
			}
			g.Expect(reg.Count(registrytest.ManifestGet)).To(Equal(tt.manifests))
			g.Expect(reg.Count(registrytest.Blob)).To(Equal(tt.blobs))
		})
	}
}
