// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/admission/images"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// configured pushes an image with a configuration and returns its digest.
func (p pusher) configured(os, architecture, created, label string) string {
	p.t.Helper()
	return p.manifest("", ociManifest, fmt.Sprintf(`{"os": %q, "architecture": %q, "created": %q, "config": {"Labels": {%q: %q}}}`,
		os, architecture, created, annotated, label), nil)
}

// pushImages pushes n images, each for another platform, and returns them without platforms.
func (p pusher) pushImages(n int) []part {
	parts := make([]part, n)
	for i := range parts {
		parts[i] = part{Digest: p.configured("linux", fmt.Sprintf("cpu%02d", i), "", "")}
	}
	return parts
}

// deletedImage is the number of an image that was deleted from the registry.
const deletedImage = 99

const fixed = "1980-01-01T00:00:01Z"

// TestIndex_ReadsMissingFieldsFromImages covers indexes without platforms (containers/image#911,
// moby/moby#46495) and images with fixed creation times (akuity/kargo#529): the fields are read
// from the images with few requests.
func TestIndex_ReadsMissingFieldsFromImages(t *testing.T) {
	attestation := map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	for _, tt := range []struct {
		reason           string
		parts            func(p pusher) []part
		wants            admission.ReadOptions
		want             admission.ImageInfo
		manifests, blobs int
	}{
		{"one image without a platform", func(p pusher) []part { return []part{{Digest: p.configured("linux", "amd64", "", "")}} },
			platformsOnly, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/amd64"}}, 2, 1},
		{"is not read if no platforms are requested", func(p pusher) []part {
			return []part{{Digest: p.configured("linux", "amd64", "", ""), Annotations: at2020}}
		}, createdOnly, admission.ImageInfo{Created: in2020, CreatedBy: admission.CreatedByAnnotation}, 1, 0},
		{"a platform without a name is ignored", func(p pusher) []part {
			return []part{{Digest: p.configured("linux", "arm64", "", ""), Platform: platformOf("", "", "v8")}}
		}, platformsOnly, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/arm64"}}, 2, 1},
		{"only images without a platform are read", func(p pusher) []part {
			return []part{{Digest: p.image(1), Platform: platformOf("linux", "amd64", "")}, {Digest: p.configured("linux", "arm64", "", "")}}
		}, platformsOnly, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/amd64", "linux/arm64"}}, 2, 1},
		{"each image is read once", func(p pusher) []part {
			img := p.configured("linux", "arm64", "2021-01-01T00:00:00Z", "")
			return []part{{Digest: img}, {Digest: img}, {Digest: img, Annotations: map[string]string{"a": "b"}}}
		}, platformsOnly, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/arm64"}}, 2, 1},
		{"attestations of BuildKit are not read", func(p pusher) []part {
			return []part{{Digest: p.configured("linux", "amd64", "", ""), Annotations: attestation}, {Digest: p.configured("linux", "arm64", "", "")}}
		}, platformsOnly, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/arm64"}}, 2, 1},
		{"images that the registry does not have are skipped", func(p pusher) []part {
			return []part{{Digest: p.image(deletedImage)}, {Digest: p.push("", ociManifest, withConfig(absent(8), 2))}, {Digest: p.configured("linux", "arm64", "", "")}}
		}, platformsOnly, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/arm64"}}, 4, 2},
		{"images without a platform anywhere are skipped", func(p pusher) []part {
			return []part{{Digest: p.configured("", "", "", "")}, {Digest: p.index("", ociIndex, nil)}}
		}, platformsOnly, admission.ImageInfo{PlatformsKnown: true}, 3, 1},
		{"no more than 16 images are read", func(p pusher) []part { return p.pushImages(20) }, platformsOnly, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{
			"linux/cpu00", "linux/cpu01", "linux/cpu02", "linux/cpu03", "linux/cpu04", "linux/cpu05", "linux/cpu06", "linux/cpu07",
			"linux/cpu08", "linux/cpu09", "linux/cpu10", "linux/cpu11", "linux/cpu12", "linux/cpu13", "linux/cpu14", "linux/cpu15",
		}}, 17, 16},
		{"all configurations share one size limit", func(p pusher) []part {
			padding := strings.Repeat(" ", 5<<20)
			return []part{{Digest: p.manifest("", ociManifest, `{"os": "linux", "architecture": "amd64"}`+padding, nil)},
				{Digest: p.manifest("", ociManifest, `{"os": "linux", "architecture": "arm64"}`+padding, nil)}}
		}, platformsOnly, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/amd64"}}, 3, 1},

		{"the descriptor of the first image states a creation time", func(p pusher) []part {
			return []part{{Digest: p.image(1), Platform: platformOf("linux", "amd64", ""), Annotations: at2020}}
		}, allDetails, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/amd64"}, Created: in2020, CreatedBy: admission.CreatedByAnnotation}, 1, 0},
		{"the label counts if the configuration has a fixed time", func(p pusher) []part {
			return []part{{Digest: p.configured("linux", "amd64", fixed, "2021-01-01 00:00:00+00:00"), Platform: platformOf("linux", "amd64", "")}}
		}, createdOnly, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/amd64"}, Created: in2021, CreatedBy: admission.CreatedByLabel}, 2, 1},
		{"an annotation with a fixed time is ignored", func(p pusher) []part {
			return []part{{Digest: p.configured("linux", "amd64", "2021-01-01T00:00:00Z", ""), Platform: platformOf("linux", "amd64", ""),
				Annotations: map[string]string{annotated: fixed}}}
		}, createdOnly, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/amd64"}, Created: in2021, CreatedBy: admission.CreatedByConfig}, 2, 1},
		{"no creation time is stated", func(p pusher) []part {
			return []part{{Digest: p.configured("linux", "amd64", fixed, fixed), Platform: platformOf("linux", "amd64", "")}}
		}, createdOnly, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/amd64"}, Created: admission.CreatedUnstated}, 2, 1},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			push := func(p pusher) string {
				digest := p.index("t", ociIndex, nil, tt.parts(p)...)
				p.reg.Delete(p.t, "app", p.image(deletedImage))
				return digest
			}
			checkRead(t, push, tt.wants, tt.want, tt.manifests, tt.blobs)
		})
	}
}

// TestIndex_ReturnsRegistryErrors expects errors of manifests and configurations to be returned
// instead of an image without platforms.
func TestIndex_ReturnsRegistryErrors(t *testing.T) {
	for _, status := range []int{401, 403, 429, 500, 503} {
		for _, fault := range []registrytest.Kind{registrytest.Blob, registrytest.ManifestGet} {
			t.Run(fmt.Sprintf("%s %d", fault, status), func(t *testing.T) {
				reg, source := startRegistry(t)
				p := pusher{t, reg}
				p.index("t", ociIndex, nil, part{Digest: p.configured("linux", "amd64", "", "")})
				reg.Inject(fault, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
					if !strings.HasSuffix(req.URL.Path, "/t") { // the index itself can be read
						next = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
					}
					next.ServeHTTP(w, req)
				})
				got, err := images.Read(t.Context(), source, "t", platformsOnly)
				if err == nil || errors.Is(err, registry.ErrNotFound) || got.PlatformsKnown {
					t.Errorf("got %+v, %v", got, err)
				}
			})
		}
	}
}
