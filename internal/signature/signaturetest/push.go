// SPDX-License-Identifier: Apache-2.0

package signaturetest

import (
	"encoding/base64"
	"strings"
	"testing"
)

// The media types and artifact types of pushed content.
const (
	ManifestType = "application/vnd.oci.image.manifest.v1+json"
	IndexType    = "application/vnd.oci.image.index.v1+json"
	BundleType   = "application/vnd.dev.sigstore.bundle.v0.3+json"
	NotationType = "application/vnd.cncf.notary.signature"
	emptyType    = "application/vnd.oci.empty.v1+json"
	signedType   = "application/vnd.dev.cosign.simplesigning.v1+json"
	// referringType is the artifact type of legacy signatures that refer to an image.
	referringType = "application/vnd.dev.cosign.artifact.sig.v1+json"
)

// Descriptor describes a blob or a manifest.
type Descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int               `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// Manifest is the manifest of signatures.
type Manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        Descriptor        `json:"config"`
	Layers        []Descriptor      `json:"layers"`
	Subject       *Descriptor       `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// Signature is a legacy signature of cosign.
type Signature struct {
	MediaType   string // of the payload, "" for cosign's
	Payload     []byte
	Raw         []byte
	Annotations map[string]string // of keyless signatures
}

// SignatureTag returns the tag of an image's legacy signatures.
func SignatureTag(digest string) string { return strings.Replace(digest, ":", "-", 1) + ".sig" }

// PushSignatures pushes the legacy signatures of the image with a digest.
func PushSignatures(t testing.TB, store Store, repo, digest string, signatures ...Signature) {
	t.Helper()
	config := pushConfig(t, store, repo, "application/vnd.oci.image.config.v1+json")
	manifest := Manifest{SchemaVersion: 2, MediaType: ManifestType, Config: config, Layers: pushPayloads(t, store, repo, signatures)}
	store.PushManifest(t, repo, SignatureTag(digest), ManifestType, encode(t, manifest))
}

// PushReferringSignatures pushes legacy signatures that refer to an image, and returns the
// descriptor of their manifest in a list of referrers.
func PushReferringSignatures(t testing.TB, store Store, repo string, image Descriptor, signatures ...Signature) Descriptor {
	t.Helper()
	return PushReferrer(t, store, repo, Manifest{
		ArtifactType: referringType,
		Config:       pushConfig(t, store, repo, referringType),
		Layers:       pushPayloads(t, store, repo, signatures),
		Subject:      &image,
	})
}

// pushPayloads pushes the payloads of signatures, and returns the layers with the
// signatures.
func pushPayloads(t testing.TB, store Store, repo string, signatures []Signature) []Descriptor {
	t.Helper()
	var layers []Descriptor
	for _, s := range signatures {
		layer := Descriptor{MediaType: signedType, Digest: store.PushBlob(t, repo, s.Payload), Size: len(s.Payload)}
		layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(s.Raw)}
		if s.MediaType != "" {
			layer.MediaType = s.MediaType
		}
		for key, value := range s.Annotations {
			layer.Annotations[key] = value
		}
		layers = append(layers, layer)
	}
	return layers
}

// pushConfig pushes an empty config.
func pushConfig(t testing.TB, store Store, repo, mediaType string) Descriptor {
	t.Helper()
	return Descriptor{MediaType: mediaType, Digest: store.PushBlob(t, repo, []byte("{}")), Size: 2}
}

// Image returns the descriptor of an image, to which its signatures refer.
func Image(digest string, size int) Descriptor {
	return Descriptor{MediaType: ManifestType, Digest: digest, Size: size}
}

// PushBundle pushes a bundle that refers to an image, and returns its descriptor in a list
// of referrers, which is annotated with the predicate.
func PushBundle(t testing.TB, store Store, repo string, image Descriptor, bundle []byte, predicate string) Descriptor {
	t.Helper()
	return PushReferrer(t, store, repo, Manifest{
		ArtifactType: BundleType,
		Config:       pushConfig(t, store, repo, emptyType),
		Layers:       []Descriptor{{MediaType: BundleType, Digest: store.PushBlob(t, repo, bundle), Size: len(bundle)}},
		Subject:      &image,
		Annotations:  map[string]string{"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": predicate},
	})
}

// PushEnvelope pushes the envelope of a notation signature that refers to an image, and
// returns its descriptor in a list of referrers.
func PushEnvelope(t testing.TB, store Store, repo string, image Descriptor, envelope []byte) Descriptor {
	t.Helper()
	return PushReferrer(t, store, repo, Manifest{
		Config:  pushConfig(t, store, repo, NotationType),
		Layers:  []Descriptor{{MediaType: "application/jose+json", Digest: store.PushBlob(t, repo, envelope), Size: len(envelope)}},
		Subject: &image,
	})
}

// PushReferrer pushes a manifest, and returns its descriptor in a list of referrers.
func PushReferrer(t testing.TB, store Store, repo string, manifest Manifest) Descriptor {
	t.Helper()
	manifest.SchemaVersion, manifest.MediaType = 2, ManifestType
	text := encode(t, manifest)
	artifactType := manifest.ArtifactType
	if artifactType == "" {
		artifactType = manifest.Config.MediaType
	}
	return Descriptor{
		MediaType: ManifestType, Digest: store.PushManifest(t, repo, "", ManifestType, text), Size: len(text),
		ArtifactType: artifactType, Annotations: manifest.Annotations,
	}
}

// PushReferrerTag pushes the index of referrers at the referrers tag, for registries
// without the referrers API.
func PushReferrerTag(t testing.TB, store Store, repo, digest string, referrers ...Descriptor) {
	t.Helper()
	index := struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Manifests     []Descriptor `json:"manifests"`
	}{SchemaVersion: 2, MediaType: IndexType, Manifests: referrers}
	store.PushManifest(t, repo, strings.Replace(digest, ":", "-", 1), IndexType, encode(t, index))
}
