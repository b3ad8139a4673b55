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

// configured pushes an image with a configuration, and returns its digest.
func (p pusher) configured(os, architecture, created, label string) string {
	p.t.Helper()
	return p.manifest("", ociManifest, fmt.Sprintf(`{"os": %q, "architecture": %q, "created": %q, "config": {"Labels": {%q: %q}}}`,
		os, architecture, created, annotated, label), nil)
}

// many pushes n images for a platform each, and returns them without it.
func (p pusher) many(n int) []part {
	parts := make([]part, n)
	for i := range parts {
		parts[i] = part{Digest: p.configured("linux", fmt.Sprintf("cpu%02d", i), "", "")}
	}
	return parts
}

// missing is the number of an image that the registry has lost.
const missing = 99

const fixed = "1980-01-01T00:00:01Z"

// TestIndex_ReadsMissingFieldsFromImages stands for indexes that name no platform
// (containers/image#911, moby/moby#46495), and images whose time of creation has no meaning
// (akuity/kargo#529): what the image itself states counts, with few requests.
func TestIndex_ReadsMissingFieldsFromImages(t *testing.T) {
	unknown := map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	for _, tt := range []struct {
		reason           string
		parts            func(p pusher) []part
		wants            admission.Wants
		want             admission.ImageInfo
		manifests, blobs int
	}{
		{"one image without a platform", func(p pusher) []part { return []part{{Digest: p.configured("linux", "amd64", "", "")}} },
			only, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/amd64"}}, 2, 1},
		{"is not asked where no platforms are wanted", func(p pusher) []part {
			return []part{{Digest: p.configured("linux", "amd64", "", ""), Annotations: at2020}}
		}, created, admission.ImageInfo{Created: in2020, CreatedBy: admission.CreatedByAnnotation}, 1, 0},
		{"a platform without a name is none", func(p pusher) []part {
			return []part{{Digest: p.configured("linux", "arm64", "", ""), Platform: on("", "", "v8")}}
		}, only, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/arm64"}}, 2, 1},
		{"only those without a platform are asked", func(p pusher) []part {
			return []part{{Digest: p.some(1), Platform: on("linux", "amd64", "")}, {Digest: p.configured("linux", "arm64", "", "")}}
		}, only, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/amd64", "linux/arm64"}}, 2, 1},
		{"and each of them once", func(p pusher) []part {
			image := p.configured("linux", "arm64", "2021-01-01T00:00:00Z", "")
			return []part{{Digest: image}, {Digest: image}, {Digest: image, Annotations: map[string]string{"a": "b"}}}
		}, only, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/arm64"}}, 2, 1},
		{"attestations of BuildKit are not", func(p pusher) []part {
			return []part{{Digest: p.configured("linux", "amd64", "", ""), Annotations: unknown}, {Digest: p.configured("linux", "arm64", "", "")}}
		}, only, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/arm64"}}, 2, 1},
		{"what the registry does not have stays unknown", func(p pusher) []part {
			return []part{{Digest: p.some(missing)}, {Digest: p.push("", ociManifest, withConfig(absent(8), 2))}, {Digest: p.configured("linux", "arm64", "", "")}}
		}, only, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/arm64"}}, 4, 2},
		{"so does what no manifest or configuration names", func(p pusher) []part {
			return []part{{Digest: p.configured("", "", "", "")}, {Digest: p.index("", ociIndex, nil)}}
		}, only, admission.ImageInfo{PlatformsKnown: true}, 3, 1},
		{"no more than sixteen are asked", func(p pusher) []part { return p.many(20) }, only, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{
			"linux/cpu00", "linux/cpu01", "linux/cpu02", "linux/cpu03", "linux/cpu04", "linux/cpu05", "linux/cpu06", "linux/cpu07",
			"linux/cpu08", "linux/cpu09", "linux/cpu10", "linux/cpu11", "linux/cpu12", "linux/cpu13", "linux/cpu14", "linux/cpu15",
		}}, 17, 16},
		{"nor more bytes than one configuration may have", func(p pusher) []part {
			padding := strings.Repeat(" ", 5<<20)
			return []part{{Digest: p.manifest("", ociManifest, `{"os": "linux", "architecture": "amd64"}`+padding, nil)},
				{Digest: p.manifest("", ociManifest, `{"os": "linux", "architecture": "arm64"}`+padding, nil)}}
		}, only, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/amd64"}}, 3, 1},

		{"the descriptor of the first image states when", func(p pusher) []part {
			return []part{{Digest: p.some(1), Platform: on("linux", "amd64", ""), Annotations: at2020}}
		}, both, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/amd64"}, Created: in2020, CreatedBy: admission.CreatedByAnnotation}, 1, 0},
		{"its label does where the builder wrote a fixed time", func(p pusher) []part {
			return []part{{Digest: p.configured("linux", "amd64", fixed, "2021-01-01 00:00:00+00:00"), Platform: on("linux", "amd64", "")}}
		}, created, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/amd64"}, Created: in2021, CreatedBy: admission.CreatedByLabel}, 2, 1},
		{"an annotation with a fixed time gives way, too", func(p pusher) []part {
			return []part{{Digest: p.configured("linux", "amd64", "2021-01-01T00:00:00Z", ""), Platform: on("linux", "amd64", ""),
				Annotations: map[string]string{annotated: fixed}}}
		}, created, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/amd64"}, Created: in2021, CreatedBy: admission.CreatedByConfig}, 2, 1},
		{"or else nothing does", func(p pusher) []part {
			return []part{{Digest: p.configured("linux", "amd64", fixed, fixed), Platform: on("linux", "amd64", "")}}
		}, created, admission.ImageInfo{PlatformsKnown: true, Platforms: []string{"linux/amd64"}, Created: admission.CreatedUnsaid}, 2, 1},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			push := func(p pusher) string {
				digest := p.index("t", ociIndex, nil, tt.parts(p)...)
				p.reg.Delete(p.t, "app", p.some(missing))
				return digest
			}
			checkRead(t, push, tt.wants, tt.want, tt.manifests, tt.blobs)
		})
	}
}

// TestIndex_ReturnsRegistryErrors stands for a failing registry that is taken for an image
// without platforms: of manifests, of configurations, with one status or another.
func TestIndex_ReturnsRegistryErrors(t *testing.T) {
	for _, status := range []int{401, 403, 429, 500, 503} {
		for _, fault := range []registrytest.Kind{registrytest.Blob, registrytest.ManifestGet} {
			t.Run(fmt.Sprintf("%s %d", fault, status), func(t *testing.T) {
				reg, from := start(t)
				p := pusher{t, reg}
				p.index("t", ociIndex, nil, part{Digest: p.configured("linux", "amd64", "", "")})
				reg.Inject(fault, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
					if !strings.HasSuffix(req.URL.Path, "/t") { // the index itself can be read
						next = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
					}
					next.ServeHTTP(w, req)
				})
				got, err := images.Read(t.Context(), from, "t", only)
				if err == nil || errors.Is(err, registry.ErrNotFound) || got.PlatformsKnown {
					t.Errorf("got %+v, %v", got, err)
				}
			})
		}
	}
}
