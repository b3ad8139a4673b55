// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
)

// fakeRepository returns the same signature for every reference.
type fakeRepository struct {
	legacy   []byte // the manifest at the signature tag, nil for none
	referrer []byte // the manifest of the referrer, nil for none
	blob     []byte
}

// Manifest implements Repository.
func (f *fakeRepository) Manifest(_ context.Context, reference string) (registry.Manifest, error) {
	switch {
	case f.legacy != nil && strings.HasSuffix(reference, ".sig"):
		return registry.Manifest{MediaType: signaturetest.ManifestType, Bytes: f.legacy}, nil
	case f.referrer != nil && image.IsDigest(reference):
		return registry.Manifest{MediaType: signaturetest.ManifestType, Bytes: f.referrer, Digest: reference}, nil
	default:
		return registry.Manifest{}, registry.ErrNotFound
	}
}

// Blob implements Repository.
func (f *fakeRepository) Blob(context.Context, string, int64) ([]byte, error) {
	return f.blob, nil
}

// Referrers implements Repository.
func (f *fakeRepository) Referrers(context.Context, string) ([]registry.Referrer, error) {
	if f.referrer == nil {
		return nil, nil
	}
	return []registry.Referrer{{Digest: fuzzedDigest}}, nil
}

var (
	fuzzedDigest = "sha256:" + strings.Repeat("a", 64)
	layerDigest  = "sha256:" + strings.Repeat("b", 64)
)

// newFuzzFixture returns an empty repository, and a Verifier with a fixed key.
func newFuzzFixture(t testing.TB) (*fakeRepository, *Verifier) {
	t.Helper()
	repo := &fakeRepository{}
	v, err := New(keys(t, map[string]signaturetest.Key{"a.pub": signaturetest.FixedKey()}), nil)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return repo, v
}

// warmUp verifies valid signatures, so that one-time initialization of the libraries does
// not count as coverage of the first input.
func warmUp(f *testing.F, repo *fakeRepository, v *Verifier) {
	f.Helper()
	img, err := image.Parse("registry.test/app", false)
	NewWithT(f).Expect(err).NotTo(HaveOccurred())
	payload := signaturetest.Payload(fuzzedDigest)
	manifest := fmt.Appendf(nil, `{"layers":[{"mediaType":%q,"digest":%q}],"subject":{"digest":%q}}`, signaturetest.BundleType, layerDigest, fuzzedDigest)
	for _, content := range []fakeRepository{
		{legacy: legacyManifest(signaturetest.FixedKey().Sign(f, payload)), blob: payload},
		{referrer: manifest, blob: signaturetest.FixedKey().Bundle(f, signaturetest.Statement(fuzzedDigest, signaturetest.SignPredicate))},
	} {
		*repo = content
		if verdict, err := v.Verify(f.Context(), repo, img, fuzzedDigest, time.Now()); err != nil || !verdict.Passed() {
			f.Fatalf("rejected for %q, error %v", verdict.Reason(), err)
		}
	}
}

// fuzzedVerdict returns the verdict about the content of a repository. It fails the test
// if there is an error.
func fuzzedVerdict(t *testing.T, repo *fakeRepository, v *Verifier) Verdict {
	t.Helper()
	g := NewWithT(t)
	img, err := image.Parse("registry.test/app", false)
	g.Expect(err).NotTo(HaveOccurred())
	verdict, err := v.Verify(t.Context(), repo, img, fuzzedDigest, time.Now())
	g.Expect(err).NotTo(HaveOccurred(), "content with the requested digest")
	g.Expect(verdict.Passed()).NotTo(Equal(verdict.Reason() != ""), "got the verdict %+v", verdict)
	g.Expect(len(verdict.Reason())).To(BeNumerically("<=", 6*maxReason*maxReasons), "got the verdict %+v", verdict)
	return verdict
}

// legacyManifest returns the manifest of one legacy signature.
func legacyManifest(signature signaturetest.Signature) []byte {
	annotations := map[string]string{annotationSignature: base64.StdEncoding.EncodeToString(signature.Raw)}
	for key, value := range signature.Annotations {
		annotations[key] = value
	}
	text, _ := json.Marshal(map[string]any{"schemaVersion": 2, "layers": []any{
		map[string]any{"mediaType": simpleSigning, "digest": layerDigest, "size": len(signature.Payload), "annotations": annotations},
	}})
	return text
}

// FuzzLegacy tests that no legacy signature causes a panic or an error, and that only the
// signed payload passes.
func FuzzLegacy(f *testing.F) {
	payload := signaturetest.Payload(fuzzedDigest)
	signature := signaturetest.FixedKey().Sign(f, payload)
	f.Add(legacyManifest(signature), payload)
	f.Add(legacyManifest(signature), signaturetest.Payload(layerDigest))
	signature.Annotations = map[string]string{
		annotationCertificate: "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n",
		annotationBundle:      `{"SignedEntryTimestamp":"YQ==","Payload":{"body":"eyJraW5kIjoiaGFzaGVkcmVrb3JkIiwiYXBpVmVyc2lvbiI6IjAuMC4xIn0=","integratedTime":1,"logIndex":1,"logID":"00"}}`,
		annotationTimestamp:   `{"SignedRFC3161Timestamp":"YQ=="}`,
	}
	f.Add(legacyManifest(signature), payload)
	f.Add([]byte(`{"layers":[{}]}`), []byte(`{}`))
	f.Add([]byte(`null`), []byte(`null`))
	repo, v := newFuzzFixture(f)
	warmUp(f, repo, v)
	f.Fuzz(func(t *testing.T, manifest, blob []byte) {
		*repo = fakeRepository{legacy: manifest, blob: blob}
		if verdict := fuzzedVerdict(t, repo, v); verdict.Passed() && !bytes.Equal(blob, payload) {
			t.Errorf("%q passes with the signer %s", blob, verdict.Signer())
		}
		var m signatureManifest
		_ = json.Unmarshal(manifest, &m)
		for _, layer := range m.layersWhere(isPayload) {
			sig, err := parseLegacyLayer(layer)
			if err != nil {
				continue
			}
			if b, err := sig.bundle(blob); err == nil && b.GetMessageSignature() == nil {
				t.Errorf("a legacy signature was converted to %v", b)
			}
		}
	})
}

// FuzzBundle tests that arbitrary bytes never pass, for bundles and their manifests.
func FuzzBundle(f *testing.F) {
	key, statement := signaturetest.FixedKey(), signaturetest.Statement(fuzzedDigest, signaturetest.SignPredicate)
	manifest := fmt.Appendf(nil, `{"artifactType":%q,"layers":[{"mediaType":%q,"digest":%q,"size":1}],"subject":{"digest":%q}}`,
		signaturetest.BundleType, signaturetest.BundleType, layerDigest, fuzzedDigest)
	f.Add(manifest, key.Bundle(f, statement))
	f.Add(manifest, key.Bundle(f, signaturetest.Statement(layerDigest, signaturetest.SignPredicate)))
	f.Add(manifest, key.Bundle(f, signaturetest.Statement(fuzzedDigest, "https://slsa.dev/provenance/v1")))
	f.Add(manifest, []byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`))
	f.Add([]byte(`{"subject":null,"layers":null}`), []byte(`null`))
	repo, v := newFuzzFixture(f)
	warmUp(f, repo, v)
	f.Fuzz(func(t *testing.T, manifest, blob []byte) {
		*repo = fakeRepository{referrer: manifest, blob: blob}
		if verdict := fuzzedVerdict(t, repo, v); verdict.Passed() && !hasStatement(blob, statement) {
			t.Errorf("%q passes with the signer %s", blob, verdict.Signer())
		}
	})
}

// hasStatement reports whether a bundle contains a statement.
func hasStatement(bundle, statement []byte) bool {
	var parts struct {
		Envelope struct {
			Payload []byte `json:"payload"`
		} `json:"dsseEnvelope"`
	}
	// JSON parsers differ in strictness. Bundles that only sigstore-go can parse are not
	// checked here.
	return json.Unmarshal(bundle, &parts) != nil || bytes.Equal(parts.Envelope.Payload, statement)
}
