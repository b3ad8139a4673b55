/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package signature

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
)

// fakeRegistry holds one signature, whatever it is asked for.
type fakeRegistry struct {
	legacy   []byte // the manifest under the signature tag, nil for none
	referrer []byte // the manifest of the referrer, nil for none
	blob     []byte
}

// Manifest implements Registry.
func (f *fakeRegistry) Manifest(_ context.Context, _ image.Name, reference string, _ registry.AuthOptions) (registry.Manifest, error) {
	switch {
	case f.legacy != nil && strings.HasSuffix(reference, ".sig"):
		return registry.Manifest{MediaType: signaturetest.ManifestType, Bytes: f.legacy}, nil
	case f.referrer != nil && wellFormedDigest.MatchString(reference):
		return registry.Manifest{MediaType: signaturetest.ManifestType, Bytes: f.referrer, Digest: reference}, nil
	default:
		return registry.Manifest{}, registry.ErrNotFound
	}
}

// Blob implements Registry.
func (f *fakeRegistry) Blob(context.Context, image.Name, string, int64, registry.AuthOptions) ([]byte, error) {
	return f.blob, nil
}

// Referrers implements Registry.
func (f *fakeRegistry) Referrers(context.Context, image.Name, string, registry.AuthOptions) ([]registry.Referrer, error) {
	if f.referrer == nil {
		return nil, nil
	}
	return []registry.Referrer{{Digest: fuzzedDigest}}, nil
}

var (
	fuzzedDigest = "sha256:" + strings.Repeat("a", 64)
	layerDigest  = "sha256:" + strings.Repeat("b", 64)
)

// verdicts returns the verdicts by several rules about what a registry holds.
func (f *fakeRegistry) verdicts(t *testing.T, rules ...Rule) []Verdict {
	t.Helper()
	img, err := image.Parse("registry.test/app", false)
	if err != nil {
		t.Fatal(err)
	}
	verdicts := make([]Verdict, 0, len(rules))
	for _, rule := range rules {
		v, err := New(rule, f, nil)
		if err != nil {
			t.Fatal(err)
		}
		verdict, err := v.Verify(t.Context(), img, fuzzedDigest, registry.AuthOptions{})
		if err != nil {
			t.Fatalf("content that was checked led to the error %v", err)
		}
		if verdict.Passed() == (verdict.Reason() != "") || len(verdict.Reason()) > 6*maxReason*maxReasons {
			t.Errorf("got the verdict %+v", verdict)
		}
		verdicts = append(verdicts, verdict)
	}
	return verdicts
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

// FuzzLegacy tests that nothing in a legacy signature stops the controller, and
// that nothing passes but what was signed.
func FuzzLegacy(f *testing.F) {
	key, sigstore := signaturetest.NewKey(f, "ecdsa"), signaturetest.NewSigstore(f)
	payload := signaturetest.Payload(fuzzedDigest)
	byKey, byIdentity := key.Sign(f, payload), sigstore.Sign(f, subjectName, issuerName, payload, logged)
	f.Add(legacyManifest(byKey), payload)
	f.Add(legacyManifest(byIdentity), payload)
	f.Add(legacyManifest(byKey), signaturetest.Payload(layerDigest))
	f.Add([]byte(`{"layers":[{}]}`), []byte(`{}`))
	f.Add([]byte(`null`), []byte(`null`))
	rules := []Rule{keys(f, map[string]signaturetest.Key{"a.pub": key}), identities(f, sigstore)}
	f.Fuzz(func(t *testing.T, manifest, blob []byte) {
		for _, verdict := range (&fakeRegistry{legacy: manifest, blob: blob}).verdicts(t, rules...) {
			if verdict.Passed() && !bytes.Equal(blob, payload) {
				t.Errorf("%q passes by %s", blob, verdict.Signer())
			}
		}
	})
}

// FuzzBundle tests the same of bundles and the manifests around them, and of
// notation's envelopes.
func FuzzBundle(f *testing.F) {
	key, sigstore, notary := signaturetest.NewKey(f, "ecdsa"), signaturetest.NewSigstore(f), signaturetest.NewNotary(f, signaturetest.Terms{Name: "release"})
	stated := signaturetest.Statement(fuzzedDigest, signaturetest.SignPredicate)
	manifest := fmt.Appendf(nil, `{"artifactType":%q,"layers":[{"mediaType":%q,"digest":%q,"size":1}],"subject":{"digest":%q}}`,
		signaturetest.BundleType, signaturetest.BundleType, layerDigest, fuzzedDigest)
	envelope := bytes.ReplaceAll(bytes.Replace(manifest, []byte(signaturetest.BundleType), []byte(signaturetest.NotationType), 1),
		[]byte(signaturetest.BundleType), []byte("application/jose+json"))
	f.Add(manifest, key.Bundle(f, stated))
	f.Add(manifest, sigstore.Bundle(f, subjectName, issuerName, stated, logged))
	f.Add(manifest, key.Bundle(f, signaturetest.Statement(layerDigest, signaturetest.SignPredicate)))
	f.Add(manifest, []byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`))
	f.Add([]byte(`{"subject":null,"layers":null}`), []byte(`null`))
	f.Add(envelope, notary.Sign(f, signaturetest.Image(layerDigest, 1), 0))
	f.Add(envelope, []byte(`{"payload":"e30","protected":"e30"}`))
	rules := []Rule{
		keys(f, map[string]signaturetest.Key{"a.pub": key}), identities(f, sigstore),
		notarized(f, signaturetest.TrustPolicy(f, "audit", "*"), map[string][]byte{"ca.crt": notary.PEM()}),
	}
	f.Fuzz(func(t *testing.T, manifest, blob []byte) {
		for _, verdict := range (&fakeRegistry{referrer: manifest, blob: blob}).verdicts(t, rules...) {
			if verdict.Passed() && !states(blob, stated) {
				t.Errorf("%q passes by %s", blob, verdict.Signer())
			}
		}
	})
}

// states reports whether a bundle holds a statement.
func states(bundle, stated []byte) bool {
	var parts struct {
		Envelope struct {
			Payload []byte `json:"payload"`
		} `json:"dsseEnvelope"`
	}
	// Parsers of JSON differ in what they forgive, so what this one can't read is
	// left to the library's own tests.
	return json.Unmarshal(bundle, &parts) != nil || bytes.Equal(parts.Envelope.Payload, stated)
}

// TestSeedsOfFuzzing tests that the fuzz targets begin with signatures that pass.
func TestSeedsOfFuzzing(t *testing.T) {
	key := signaturetest.NewKey(t, "ecdsa")
	payload := signaturetest.Payload(fuzzedDigest)
	held := &fakeRegistry{legacy: legacyManifest(key.Sign(t, payload)), blob: payload}
	if got := held.verdicts(t, keys(t, map[string]signaturetest.Key{"a.pub": key})); !got[0].Passed() {
		t.Errorf("rejected for %q", got[0].Reason())
	}
}
