// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/admission/images"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

func startRegistry(t *testing.T) (*registrytest.Registry, images.Source) {
	t.Helper()
	reg := registrytest.Start(t)
	name, err := image.Parse(reg.Image("app"), true)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	client := registry.NewClient()
	t.Cleanup(client.Close)
	repo := client.Open(registry.Access{Image: name})
	t.Cleanup(repo.Close)
	return reg, repo
}

const (
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	dockerList  = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerImage = "application/vnd.docker.distribution.manifest.v2+json"
	ociConfig   = "application/vnd.oci.image.config.v1+json"
	annotated   = "org.opencontainers.image.created"
)

// pusher pushes the parts of images.
type pusher struct {
	t   *testing.T
	reg *registrytest.Registry
}

// manifest pushes the manifest of an image with a configuration and returns its digest. It is
// untagged if tag is empty.
func (p pusher) manifest(tag, mediaType, config string, annotations map[string]string) string {
	p.t.Helper()
	m := map[string]any{"schemaVersion": 2, "mediaType": mediaType, "layers": []any{}}
	if annotations != nil {
		m["annotations"] = annotations
	}
	if config != "" {
		m["config"] = map[string]any{"mediaType": ociConfig, "size": len(config), "digest": p.reg.PushBlob(p.t, "app", []byte(config))}
	}
	return p.push(tag, mediaType, m)
}

func (p pusher) push(tag, mediaType string, content any) string {
	p.t.Helper()
	text, err := json.Marshal(content)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.reg.PushManifest(p.t, "app", tag, mediaType, text)
}

// image pushes an image without a configuration and returns its digest.
func (p pusher) image(n int) string {
	p.t.Helper()
	return p.manifest("", ociManifest, "", map[string]string{"n": fmt.Sprint(n)})
}

// part is a descriptor in an index.
type part struct {
	Digest      string            `json:"digest"`
	MediaType   string            `json:"mediaType"`
	Size        int               `json:"size"`
	Platform    map[string]string `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func (p pusher) index(tag, mediaType string, annotations map[string]string, parts ...part) string {
	p.t.Helper()
	for i := range parts {
		parts[i].MediaType, parts[i].Size = ociManifest, 1
	}
	m := map[string]any{"schemaVersion": 2, "mediaType": mediaType, "manifests": parts}
	if annotations != nil {
		m["annotations"] = annotations
	}
	return p.push(tag, mediaType, m)
}

// withConfig returns a manifest with the descriptor of a configuration.
func withConfig(digest string, size int) map[string]any {
	return map[string]any{"schemaVersion": 2, "mediaType": ociManifest, "layers": []any{},
		"config": map[string]any{"mediaType": ociConfig, "size": size, "digest": digest}}
}

func platformOf(os, architecture, variant string) map[string]string {
	return map[string]string{"os": os, "architecture": architecture, "variant": variant}
}

const (
	in2020 = 1577836800
	in2021 = 1609459200
)

var (
	at2020        = map[string]string{annotated: "2020-01-01T00:00:00Z"}
	allDetails    = admission.ReadOptions{Platforms: true, Created: true}
	createdOnly   = admission.ReadOptions{Created: true}
	platformsOnly = admission.ReadOptions{Platforms: true}
)

// TestRead_SupportsImageFormats reads images of all formats from a real registry, and counts the
// requests for manifests and blobs.
func TestRead_SupportsImageFormats(t *testing.T) {
	const config2021 = `{"os": "linux", "architecture": "arm64", "variant": "v8", "created": "2021-01-01T00:00:00Z"}`
	for _, tt := range []struct {
		reason           string
		push             func(p pusher) string
		wants            admission.ReadOptions
		platforms        []string
		created          int64
		by               admission.CreatedBy
		unread           bool
		manifests, blobs int
	}{
		{"the configuration of an image has all details", func(p pusher) string { return p.manifest("t", ociManifest, config2021, nil) },
			allDetails, []string{"linux/arm64"}, in2021, admission.CreatedByConfig, false, 1, 1},
		{"the same with a Docker manifest", func(p pusher) string { return p.manifest("t", dockerImage, config2021, nil) }, allDetails, []string{"linux/arm64"}, in2021, admission.CreatedByConfig, false, 1, 1},
		{"an annotation takes precedence", func(p pusher) string { return p.manifest("t", ociManifest, config2021, at2020) },
			allDetails, []string{"linux/arm64"}, in2020, admission.CreatedByAnnotation, false, 1, 1},
		{"and makes the configuration unnecessary", func(p pusher) string { return p.manifest("t", ociManifest, config2021, at2020) }, createdOnly, nil, in2020, admission.CreatedByAnnotation, true, 1, 0},
		{"an annotation that is not a time is ignored", func(p pusher) string {
			return p.manifest("t", ociManifest, config2021, map[string]string{annotated: "yesterday"})
		}, createdOnly, []string{"linux/arm64"}, in2021, admission.CreatedByConfig, false, 1, 1},
		{"reproducible builds have no creation time", func(p pusher) string {
			return p.manifest("t", ociManifest, `{"os": "linux", "architecture": "amd64", "created": "1970-01-01T00:00:00Z"}`, nil)
		}, allDetails, []string{"linux/amd64"}, admission.CreatedUnstated, admission.CreatedByUnknown, false, 1, 1},
		{"a configuration may have no creation time", func(p pusher) string {
			return p.manifest("t", ociManifest, `{"os": "linux", "architecture": "amd64"}`, nil)
		}, allDetails, []string{"linux/amd64"}, admission.CreatedUnstated, admission.CreatedByUnknown, false, 1, 1},
		{"an artifact with another configuration", func(p pusher) string { return p.manifest("t", ociManifest, `{"name": "chart", "os": 7}`, nil) },
			allDetails, nil, admission.CreatedUnstated, admission.CreatedByUnknown, false, 1, 1},
		{"a configuration that is not JSON", func(p pusher) string { return p.manifest("t", ociManifest, `no JSON`, nil) }, allDetails, nil, admission.CreatedUnstated, admission.CreatedByUnknown, false, 1, 1},
		{"a configuration that is too large", func(p pusher) string { return p.push("t", ociManifest, withConfig(absent(1), 8<<20+1)) },
			allDetails, nil, admission.CreatedUnstated, admission.CreatedByUnknown, false, 1, 0},
		{"a configuration with an invalid digest", func(p pusher) string { return p.push("t", ociManifest, withConfig("../../x", 2)) }, allDetails, nil, admission.CreatedUnstated, admission.CreatedByUnknown, false, 1, 0},
		{"no configuration", func(p pusher) string { return p.manifest("t", ociManifest, "", nil) }, allDetails, nil, admission.CreatedUnstated, admission.CreatedByUnknown, false, 1, 0},

		{"an index names the platforms of its images", func(p pusher) string {
			return p.index("t", ociIndex, nil, part{Digest: p.image(1), Platform: platformOf("linux", "arm64", "v8")},
				part{Digest: p.image(2), Platform: platformOf("linux", "amd64", "")}, part{Digest: p.image(3), Platform: platformOf("linux", "arm", "v6")})
		}, platformsOnly, []string{"linux/amd64", "linux/arm/v6", "linux/arm64"}, admission.CreatedUnread, admission.CreatedByUnknown, false, 1, 0},
		{"the same with a Docker manifest list", func(p pusher) string {
			return p.index("t", dockerList, nil, part{Digest: p.image(1), Platform: platformOf("linux", "amd64", "")},
				part{Digest: p.image(2), Platform: platformOf("windows", "amd64", "")})
		}, platformsOnly, []string{"linux/amd64", "windows/amd64"}, admission.CreatedUnread, admission.CreatedByUnknown, false, 1, 0},
		{"platforms are returned once", func(p pusher) string {
			return p.index("t", ociIndex, nil, part{Digest: p.image(1), Platform: platformOf("linux", "arm64", "")},
				part{Digest: p.image(2), Platform: platformOf("linux", "arm64", "v8")})
		}, platformsOnly, []string{"linux/arm64"}, admission.CreatedUnread, admission.CreatedByUnknown, false, 1, 0},
		{"attestations are not platforms", func(p pusher) string {
			return p.index("t", ociIndex, nil, part{Digest: p.image(1), Platform: platformOf("linux", "amd64", "")},
				part{Digest: p.image(2), Platform: platformOf("unknown", "unknown", "")},
				part{Digest: p.image(3), Platform: platformOf("linux", "s390x", ""), Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"}})
		}, platformsOnly, []string{"linux/amd64"}, admission.CreatedUnread, admission.CreatedByUnknown, false, 1, 0},
		{"an image without a platform and a configuration", func(p pusher) string { return p.index("t", ociIndex, nil, part{Digest: p.image(1)}) },
			platformsOnly, nil, admission.CreatedUnread, admission.CreatedByUnknown, false, 2, 0},
		{"an empty index", func(p pusher) string { return p.index("t", ociIndex, nil) }, allDetails, nil, admission.CreatedUnstated, admission.CreatedByUnknown, false, 1, 0},

		{"an index with a creation time", func(p pusher) string {
			return p.index("t", ociIndex, at2020, part{Digest: p.image(1), Platform: platformOf("linux", "amd64", "")})
		}, allDetails, []string{"linux/amd64"}, in2020, admission.CreatedByAnnotation, false, 1, 0},
		{"the creation time of the first image that is not an attestation", func(p pusher) string {
			return p.index("t", ociIndex, nil, part{Digest: p.image(1), Platform: platformOf("unknown", "unknown", "")},
				part{Digest: p.manifest("", ociManifest, config2021, nil), Platform: platformOf("linux", "arm64", "")},
				part{Digest: p.image(2), Platform: platformOf("linux", "amd64", "")})
		}, allDetails, []string{"linux/amd64", "linux/arm64"}, in2021, admission.CreatedByConfig, false, 2, 1},
		{"the creation time in an annotation of the first image", func(p pusher) string {
			return p.index("t", ociIndex, nil, part{Digest: p.manifest("", ociManifest, config2021, at2020), Platform: platformOf("linux", "arm64", "")})
		}, createdOnly, []string{"linux/arm64"}, in2020, admission.CreatedByAnnotation, false, 2, 0},
		{"the first image is missing because the index was copied partially", func(p pusher) string {
			index := p.index("t", ociIndex, nil, part{Digest: p.image(1), Platform: platformOf("linux", "arm64", "")},
				part{Digest: p.image(2), Platform: platformOf("linux", "amd64", "")})
			p.reg.Delete(p.t, "app", p.image(1))
			return index
		}, allDetails, []string{"linux/amd64", "linux/arm64"}, admission.CreatedUnstated, admission.CreatedByUnknown, false, 2, 0},
		{"nested indexes are not read", func(p pusher) string {
			return p.index("t", ociIndex, nil, part{Digest: p.index("", ociIndex, nil), Platform: platformOf("linux", "arm64", "")})
		}, createdOnly, []string{"linux/arm64"}, admission.CreatedUnstated, admission.CreatedByUnknown, false, 2, 0},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			want := admission.ImageInfo{PlatformsKnown: !tt.unread, Platforms: tt.platforms, Created: tt.created, CreatedBy: tt.by}
			checkRead(t, tt.push, tt.wants, want, tt.manifests, tt.blobs)
		})
	}
}

// checkRead reads the pushed image by its tag and its digest, and counts the requests.
func checkRead(t *testing.T, push func(p pusher) string, wants admission.ReadOptions, want admission.ImageInfo, manifests, blobs int) {
	t.Helper()
	g := NewWithT(t)
	reg, source := startRegistry(t)
	want.Digest = push(pusher{t, reg})
	for _, reference := range []string{"t", want.Digest} {
		reg.Reset()
		g.Expect(images.Read(t.Context(), source, reference, wants)).To(BeComparableTo(want), "%s", reference)
		if m, b := reg.Count(registrytest.ManifestGet), reg.Count(registrytest.Blob); m != manifests || b != blobs {
			t.Errorf("%s: %d manifests and %d blobs were requested, want %d and %d", reference, m, b, manifests, blobs)
		}
	}
}

// absent returns a digest that the registry does not have.
func absent(n int) string { return fmt.Sprintf("sha256:%064x", n) }

// TestRead_ReturnsErrorOnFailure expects failures to be errors, not images without details.
func TestRead_ReturnsErrorOnFailure(t *testing.T) {
	const config = `{"os": "linux", "architecture": "amd64"}`
	pushImage := func(p pusher) { p.manifest("t", ociManifest, config, nil) }
	for _, tt := range []struct {
		reason   string
		push     func(p pusher)
		fault    registrytest.Kind
		notFound bool
	}{
		{"there is no such tag", func(pusher) {}, "none", true},
		{"the manifest can't be read", pushImage, registrytest.ManifestGet, false},
		{"the configuration can't be read", pushImage, registrytest.Blob, false},
		{"the configuration was deleted", func(p pusher) {
			p.push("t", ociManifest, withConfig(absent(1), 2))
		}, "none", true},
		{"the configuration is larger than its manifest says", func(p pusher) {
			large := p.reg.PushBlob(p.t, "app", []byte(strings.Repeat("x", 8<<20+1)))
			p.push("t", ociManifest, withConfig(large, 2))
		}, "none", false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			reg, source := startRegistry(t)
			tt.push(pusher{t, reg})
			reg.Inject(tt.fault, registrytest.Status(500, ""))
			got, err := images.Read(t.Context(), source, "t", allDetails)
			g.Expect(err).To(HaveOccurred(), "got %+v", got)
			g.Expect(errors.Is(err, registry.ErrNotFound)).To(Equal(tt.notFound), "got %+v", got)
		})
	}
}

// TestRead_IgnoresMalformedFields expects no errors, because retries would not help.
func TestRead_IgnoresMalformedFields(t *testing.T) {
	for reason, manifest := range map[string]string{
		"malformed manifests":     `{"schemaVersion": 2, "mediaType": "` + ociIndex + `", "manifests": "many"}`,
		"malformed descriptor":    `{"schemaVersion": 2, "mediaType": "` + ociIndex + `", "manifests": [7]}`,
		"malformed configuration": `{"schemaVersion": 2, "mediaType": "` + ociManifest + `", "config": "c", "layers": []}`,
		"malformed annotation":    `{"schemaVersion": 2, "mediaType": "` + ociManifest + `", "annotations": {"` + annotated + `": 7}, "layers": []}`,
	} {
		t.Run(reason, func(t *testing.T) {
			g := NewWithT(t)
			reg, source := startRegistry(t)
			pusher{t, reg}.manifest("t", ociManifest, "", nil)
			reg.Inject(registrytest.ManifestGet, registrytest.Body(ociManifest, manifest))
			got, err := images.Read(t.Context(), source, "t", allDetails)
			g.Expect(err).NotTo(HaveOccurred())
			want := admission.ImageInfo{Digest: got.Digest, PlatformsKnown: true, Created: admission.CreatedUnstated}
			g.Expect(got).To(BeComparableTo(want))
		})
	}
}
