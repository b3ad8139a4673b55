// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"bytes"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
)

const (
	provenance = signaturetest.ProvenancePredicate
	scan       = signaturetest.ScanPredicate
	sbom       = signaturetest.SBOMPredicate
	fromMain   = "predicate.buildDefinition.externalParameters.workflow.ref == 'refs/heads/main'"
	fresh      = "now - timestamp(predicate.metadata.scanFinishedOn) < duration('168h')"
	noCritical = "predicate.scanner.result.Results.all(r, !has(r.Vulnerabilities) || r.Vulnerabilities.all(v, v.Severity != 'CRITICAL'))"
)

// release is the workflow that builds images in tests.
var release = signaturetest.Workflow{Repository: "https://github.com/org/app", Path: ".github/workflows/release.yaml", Ref: "refs/heads/main"}

// attested returns the rule with requirements, each a predicate type and an expression.
func attested(rule Rule, requirements ...[2]string) Rule {
	for _, r := range requirements {
		rule.attestations = append(rule.attestations, v1.AttestationRequirement{PredicateType: r[0], CEL: r[1]})
	}
	return rule
}

// attestationOf returns a statement about an image.
func attestationOf(t testing.TB, image signaturetest.Descriptor, predicateType string, predicate any) []byte {
	t.Helper()
	return signaturetest.Attest(t, image.Digest, predicateType, predicate)
}

// pushAttestation pushes a bundle that refers to the image.
func (f *fixture) pushAttestation(t testing.TB, bundle []byte, annotated string) signaturetest.Descriptor {
	t.Helper()
	return signaturetest.PushBundle(t, f.reg, "app", f.app, bundle, annotated)
}

// workflows returns the rule for the workflow release.
func workflows(t testing.TB, sigstore signaturetest.Sigstore) Rule {
	t.Helper()
	return identities(t, sigstore, v1.OIDCIdentityMatch{Issuer: `^https://token\.actions\.githubusercontent\.com$`, Subject: `^https://github\.com/org/app/`})
}

// TestAttestations_AreFoundInEachFormat tests attestations in each format and location, and
// the requests for the first verification.
func TestAttestations_AreFoundInEachFormat(t *testing.T) {
	key, sigstore := signaturetest.NewKey(t, "ecdsa"), signaturetest.NewSigstore(t)
	byKey, byIdentity, byWorkflow := keys(t, map[string]signaturetest.Key{"a.pub": key}), identities(t, sigstore), workflows(t, sigstore)
	about := func(t *testing.T, f *fixture) []byte {
		return attestationOf(t, f.app, provenance, release.Provenance())
	}
	const byRelease = `"https://github.com/org/app/.github/workflows/release.yaml@refs/heads/main" (issuer "https://token.actions.githubusercontent.com")`
	cases := map[string]struct {
		attest             func(*testing.T, *fixture)
		rule               Rule
		signer             string
		noAPI              bool
		manifests, blobs   int
		referrersRequested int
	}{
		"Bundle": {rule: byKey, signer: `key "a.pub"`, manifests: 2, blobs: 1, referrersRequested: 1, attest: func(t *testing.T, f *fixture) {
			f.pushAttestation(t, key.Bundle(t, about(t, f)), provenance)
		}},
		"BundleByTag": {rule: byKey, signer: `key "a.pub"`, noAPI: true, manifests: 3, blobs: 1, referrersRequested: 1, attest: func(t *testing.T, f *fixture) {
			signaturetest.PushReferrerTag(t, f.reg, "app", f.app.Digest, f.pushAttestation(t, key.Bundle(t, about(t, f)), provenance))
		}},
		"AnnotatedAsSignature": {rule: byKey, signer: `key "a.pub"`, manifests: 2, blobs: 1, referrersRequested: 1, attest: func(t *testing.T, f *fixture) {
			f.pushAttestation(t, key.Bundle(t, about(t, f)), signPredicate)
		}},
		"Legacy": {rule: byKey, signer: `key "a.pub"`, manifests: 1, blobs: 1, attest: func(t *testing.T, f *fixture) {
			signaturetest.PushAttestations(t, f.reg, "app", f.app.Digest, key.Attest(t, about(t, f)))
		}},
		"LegacyReferrer": {rule: byKey, signer: `key "a.pub"`, manifests: 2, blobs: 1, referrersRequested: 1, attest: func(t *testing.T, f *fixture) {
			signaturetest.PushReferringAttestations(t, f.reg, "app", f.app, key.Attest(t, about(t, f)))
		}},
		"KeylessLegacy": {rule: byIdentity, signer: `"release@example.com" (issuer "https://issuer.example")`, manifests: 1, blobs: 1, attest: func(t *testing.T, f *fixture) {
			signaturetest.PushAttestations(t, f.reg, "app", f.app.Digest, sigstore.Attest(t, subjectName, issuerName, about(t, f), logged))
		}},
		"GitHub": {rule: byWorkflow, signer: byRelease, manifests: 2, blobs: 1, referrersRequested: 1, attest: func(t *testing.T, f *fixture) {
			f.pushAttestation(t, sigstore.WorkflowBundle(t, release, about(t, f)), provenance)
		}},
		"OthersAreNotFetched": {rule: byKey, signer: `key "a.pub"`, manifests: 3, blobs: 1, referrersRequested: 1, attest: func(t *testing.T, f *fixture) {
			listed := []signaturetest.Descriptor{f.pushAttestation(t, key.Bundle(t, about(t, f)), provenance)}
			for range 3 {
				listed = append(listed, f.pushAttestation(t, key.Bundle(t, attestationOf(t, f.app, sbom, nil)), sbom), f.pushBundle(t, key.Bundle(t, statement(f.app))))
			}
			f.list(t, listed...)
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			f := newFixture(t)
			if !tc.noAPI {
				f = newFixture(t, registrytest.WithReferrers())
			}
			tc.attest(t, f)
			v := f.verifier(t, attested(tc.rule, [2]string{provenance, fromMain}))
			f.reg.Reset()
			got := f.verify(t, v)
			g.Expect(got.Signer()).To(Equal(tc.signer+` ("`+provenance+`")`), "rejected: %s", got.Reason())
			g.Expect(f.reg.Count(registrytest.ManifestGet)).To(Equal(tc.manifests), "requests of manifests")
			g.Expect(f.reg.Count(registrytest.Blob)).To(Equal(tc.blobs), "requests of blobs")
			g.Expect(f.reg.Count(registrytest.Referrers)).To(Equal(tc.referrersRequested), "requests of referrers")
		})
	}
}

// TestAttestations_RequireEachEntry tests rules with several entries: each must be met, by
// any attestation, and the newest attestations are checked first.
func TestAttestations_RequireEachEntry(t *testing.T) {
	key, second := signaturetest.NewKey(t, "ecdsa"), signaturetest.NewKey(t, "ecdsa")
	rule := keys(t, map[string]signaturetest.Key{"a.pub": key, "b.pub": second})
	week := signaturetest.Scan(time.Now().Add(-time.Hour), "LOW", "HIGH")
	push := func(f *fixture, by signaturetest.Key, predicateType string, predicate any) {
		f.pushAttestation(t, by.Bundle(t, attestationOf(t, f.app, predicateType, predicate)), predicateType)
	}
	const sameWorkflow = "predicate.buildDefinition.externalParameters.workflow == " +
		"{'repository': 'https://github.com/org/app', 'path': '.github/workflows/release.yaml', 'ref': 'refs/heads/main'}"
	cases := map[string]struct {
		attest       func(*fixture)
		requirements [][2]string
		signer       string
		reason       string
	}{
		"TwoSigners": {requirements: [][2]string{{provenance, fromMain}, {scan, fresh + " && " + noCritical}}, signer: `key "a.pub" ("` + provenance + `") and key "b.pub" ("` + scan + `")`,
			attest: func(f *fixture) { push(f, key, provenance, release.Provenance()); push(f, second, scan, week) }},
		"Map":       {requirements: [][2]string{{provenance, sameWorkflow}}, signer: `key "a.pub" ("` + provenance + `")`, attest: func(f *fixture) { push(f, key, provenance, release.Provenance()) }},
		"OneForTwo": {requirements: [][2]string{{scan, fresh}, {scan, noCritical}}, signer: `key "a.pub" ("` + scan + `")`, attest: func(f *fixture) { push(f, key, scan, week) }},
		"OneMissing": {requirements: [][2]string{{scan, ""}, {sbom, ""}}, reason: `attestations[1] is not met: it has no attestation with the predicateType "` + sbom + `"`,
			attest: func(f *fixture) { push(f, key, scan, week) }},
		"LaterPasses": {requirements: [][2]string{{scan, noCritical}}, signer: `key "a.pub" ("` + scan + `")`, attest: func(f *fixture) {
			push(f, key, scan, signaturetest.Scan(time.Now(), "CRITICAL"))
			push(f, key, scan, week)
		}},
		"BothLocations": {requirements: [][2]string{{scan, ""}, {sbom, ""}}, signer: `key "a.pub" ("` + scan + `", "` + sbom + `")`, attest: func(f *fixture) {
			push(f, key, scan, week)
			signaturetest.PushAttestations(t, f.reg, "app", f.app.Digest, key.Attest(t, attestationOf(t, f.app, sbom, nil)))
		}},
		"NewestOfMany": {requirements: [][2]string{{scan, noCritical}}, signer: `key "a.pub" ("` + scan + `")`, attest: func(f *fixture) {
			var listed []signaturetest.Descriptor
			for range maxSignatures + 8 {
				listed = append(listed, f.pushAttestation(t, key.Bundle(t, attestationOf(t, f.app, scan, signaturetest.Scan(time.Now(), "CRITICAL"))), scan))
			}
			f.list(t, append(listed, f.pushAttestation(t, key.Bundle(t, attestationOf(t, f.app, scan, week)), scan))...)
		}},
		"NewestOfManyLegacy": {requirements: [][2]string{{scan, noCritical}}, signer: `key "a.pub" ("` + scan + `")`, attest: func(f *fixture) {
			old := key.Attest(t, attestationOf(t, f.app, scan, signaturetest.Scan(time.Now(), "CRITICAL")))
			all := append(bytesRepeat(old, maxSignatures+8), key.Attest(t, attestationOf(t, f.app, scan, week)))
			signaturetest.PushAttestations(t, f.reg, "app", f.app.Digest, all...)
		}},
		"ManyElsewhere": {requirements: [][2]string{{scan, noCritical}}, signer: `key "a.pub" ("` + scan + `")`, attest: func(f *fixture) {
			old := key.Attest(t, attestationOf(t, f.app, scan, signaturetest.Scan(time.Now(), "CRITICAL")))
			signaturetest.PushAttestations(t, f.reg, "app", f.app.Digest, bytesRepeat(old, maxSignatures+8)...)
			push(f, key, scan, week)
		}},
		"AttestationIsNoSignature": {requirements: [][2]string{{sbom, ""}, {signPredicate, ""}}, reason: "no cosign signature passes: it is attested, not signed: use cosign sign",
			attest: func(f *fixture) { push(f, key, sbom, nil) }},
		"SignedToo": {requirements: [][2]string{{signPredicate, ""}, {sbom, ""}}, signer: `key "a.pub" (signature, "` + sbom + `")`, attest: func(f *fixture) {
			push(f, key, sbom, nil)
			f.pushBundle(t, key.Bundle(t, statement(f.app)))
		}},
		"SignedToo/Legacy": {requirements: [][2]string{{signPredicate, ""}, {sbom, ""}}, signer: `key "b.pub" (signature) and key "a.pub" ("` + sbom + `")`, attest: func(f *fixture) {
			push(f, key, sbom, nil)
			f.pushSignatures(t, second.Sign(t, signaturetest.Payload(f.app.Digest)))
		}},
		"SignatureOnly": {requirements: [][2]string{{signPredicate, ""}}, signer: `key "a.pub" (signature)`, attest: func(f *fixture) { f.pushBundle(t, key.Bundle(t, statement(f.app))) }},
		"SignatureIsNoAttestation": {requirements: [][2]string{{sbom, ""}}, reason: `it has no attestation with the predicateType "` + sbom + `"`,
			attest: func(f *fixture) { f.pushBundle(t, key.Bundle(t, statement(f.app))) }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, registrytest.WithReferrers())
			tc.attest(f)
			v := f.verifier(t, attested(rule, tc.requirements...))
			f.reg.Reset()
			got := f.verify(t, v)
			NewWithT(t).Expect(got.Signer()).To(Equal(tc.signer), "rejected: %s", got.Reason())
			NewWithT(t).Expect(got.Reason()).To(HaveSuffix(tc.reason))
			NewWithT(t).Expect(f.reg.Count(registrytest.Referrers)).To(BeNumerically("<=", 1), "lists of referrers")
		})
	}
}

// bytesRepeat returns n times the same attestation.
func bytesRepeat(one signaturetest.Attestation, n int) []signaturetest.Attestation {
	all := make([]signaturetest.Attestation, n)
	for i := range all {
		all[i] = one
	}
	return all
}

// TestAttestations_RejectAttacks tests attestations that must not let the image pass, and
// that the reasons differ.
func TestAttestations_RejectAttacks(t *testing.T) {
	key, wrong := signaturetest.NewKey(t, "ecdsa"), signaturetest.NewKey(t, "ecdsa")
	from := func(ref string) map[string]any {
		run := release
		run.Ref = ref
		return run.Provenance()
	}
	bundleOf := func(t *testing.T, by signaturetest.Key, image signaturetest.Descriptor, predicate any) []byte {
		return by.Bundle(t, attestationOf(t, image, provenance, predicate))
	}
	// pushes returns an attack with a bundle about the image.
	pushes := func(predicate any) func(*testing.T, *fixture) {
		return func(t *testing.T, f *fixture) { f.pushAttestation(t, bundleOf(t, key, f.app, predicate), provenance) }
	}
	cases := map[string]attack{
		"None": {reason: "there is no attestation", want: `attestations[0] is not met: it has no attestation with the predicateType "https://slsa.dev/provenance/v1"`, attack: func(*testing.T, *fixture) {}},
		"WrongType": {reason: "another predicate type", want: `with the predicateType "https://slsa.dev/provenance/v1", only with "https://spdx.dev/Document"`, attack: func(t *testing.T, f *fixture) {
			f.pushAttestation(t, key.Bundle(t, attestationOf(t, f.app, sbom, release.Provenance())), sbom)
		}},
		"WronglyAnnotated": {reason: "the annotation is not signed, the type in the statement is", want: `only with "https://spdx.dev/Document"`, attack: func(t *testing.T, f *fixture) {
			f.pushAttestation(t, key.Bundle(t, attestationOf(t, f.app, sbom, release.Provenance())), provenance)
		}},
		"WrongKey": {reason: "another key", want: "none of the public keys", attack: func(t *testing.T, f *fixture) {
			f.pushAttestation(t, bundleOf(t, wrong, f.app, from("refs/heads/main")), provenance)
		}},
		"Forged": {reason: "another statement with the signature of the first", want: "none of the public keys", attack: func(t *testing.T, f *fixture) {
			donor := bundleOf(t, key, f.app, from("refs/heads/evil"))
			f.pushAttestation(t, signaturetest.Change(t, bundleOf(t, key, f.app, from("refs/heads/main")), func(b map[string]any) {
				b["dsseEnvelope"].(map[string]any)["signatures"] = parse(t, donor)["dsseEnvelope"].(map[string]any)["signatures"]
			}), provenance)
		}},
		"OtherDigest": {reason: "a statement about another digest", want: "is that of another image", attack: func(t *testing.T, f *fixture) {
			f.pushAttestation(t, bundleOf(t, key, f.other, from("refs/heads/main")), provenance)
		}},
		"Replayed": {reason: "the referrer of another image in the list of this one", want: "is that of another image", attack: func(t *testing.T, f *fixture) {
			f.list(t, signaturetest.PushBundle(t, f.reg, "app", f.other, bundleOf(t, key, f.other, from("refs/heads/main")), provenance))
		}},
		"LegacyReplayed": {reason: "a legacy attestation of another image", want: "is that of another image", attack: func(t *testing.T, f *fixture) {
			signaturetest.PushAttestations(t, f.reg, "app", f.app.Digest, key.Attest(t, attestationOf(t, f.other, provenance, from("refs/heads/main"))))
		}},
		"LegacyBroken": {reason: "an envelope that is not JSON", want: "its envelope is malformed", attack: func(t *testing.T, f *fixture) {
			signaturetest.PushAttestations(t, f.reg, "app", f.app.Digest, signaturetest.Attestation{Envelope: []byte("{")})
		}},
		"LegacyWrongKey": {reason: "a legacy attestation by another key", want: "none of the public keys", attack: func(t *testing.T, f *fixture) {
			signaturetest.PushAttestations(t, f.reg, "app", f.app.Digest, wrong.Attest(t, attestationOf(t, f.app, provenance, from("refs/heads/main"))))
		}},
		"Malformed": {reason: "a statement that is not JSON", want: "passes: its statement is malformed", attack: func(t *testing.T, f *fixture) {
			f.pushAttestation(t, key.Bundle(t, []byte("{")), provenance)
		}},
		"False":           {reason: "another branch", want: "passes: cel is false", attack: pushes(from("refs/heads/evil"))},
		"MissingField":    {reason: "the predicate lacks the field", want: "cel failed: no such key: buildDefinition", attack: pushes(map[string]any{"builder": "x"})},
		"NoPredicate":     {reason: "there is no predicate", want: "cel failed: no such key: buildDefinition", attack: pushes(nil)},
		"TextPredicate":   {reason: "in-toto requires an object", want: "its statement is malformed", attack: pushes("text")},
		"NumberPredicate": {reason: "in-toto requires an object", want: "its statement is malformed", attack: pushes(1)},
		"ListPredicate":   {reason: "in-toto requires an object", want: "its statement is malformed", attack: pushes([]any{1})},
		"NoUTF8": {reason: "JSON is UTF-8", want: "its statement is malformed", attack: func(t *testing.T, f *fixture) {
			f.pushAttestation(t, key.Bundle(t, bytes.Replace(attestationOf(t, f.app, provenance, from("refs/heads/main")), []byte("refs/heads/main"), []byte("\xff"), 1)), provenance)
		}},
		"NoType": {reason: "a statement has a type", want: "its statement is malformed", attack: func(t *testing.T, f *fixture) { f.pushAttestation(t, key.Bundle(t, []byte("{}")), provenance) }},
		"Brackets": {reason: "it is nested too deeply", want: "its statement is malformed", attack: func(t *testing.T, f *fixture) {
			deep := []byte(strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000))
			f.pushAttestation(t, key.Bundle(t, bytes.Replace(attestationOf(t, f.app, provenance, from("refs/heads/main")), []byte(`"refs/heads/main"`), deep, 1)), provenance)
		}},
		"ManyValues": {reason: "they take much memory", want: "its statement has more than the 200000 JSON values that are read", attack: pushes(map[string]any{"a": make([]struct{}, 200_000)})},
		"ManyEntries": {reason: "they take much memory", want: "its attestation has more than the 200000 JSON values that are read", attack: func(t *testing.T, f *fixture) {
			f.pushAttestation(t, signaturetest.Change(t, bundleOf(t, key, f.app, from("refs/heads/main")), func(b map[string]any) {
				b["verificationMaterial"].(map[string]any)["tlogEntries"] = make([]struct{}, 200_000)
			}), provenance)
		}},
		"TwoPredicates": {reason: "JSON with the same key twice", want: "its statement is malformed", attack: func(t *testing.T, f *fixture) {
			twice := bytes.Replace(attestationOf(t, f.app, provenance, from("refs/heads/evil")), []byte(`"refs/heads/evil"`), []byte(`"refs/heads/evil","ref":"refs/heads/main"`), 1)
			f.pushAttestation(t, key.Bundle(t, twice), provenance)
		}},
		"Giant": {reason: "a predicate of 10 MiB", want: "has more than the 4194304 bytes that are read", attack: func(t *testing.T, f *fixture) {
			predicate := from("refs/heads/main")
			predicate["padding"] = strings.Repeat("x", 10<<20)
			f.pushAttestation(t, bundleOf(t, key, f.app, predicate), provenance)
		}},
		"Hundreds": {reason: "more than the maximum", want: "it has more than the 32 attestations that are checked", attack: func(t *testing.T, f *fixture) {
			for range maxSignatures + 8 {
				f.pushAttestation(t, bundleOf(t, wrong, f.app, from("refs/heads/main")), provenance)
			}
		}},
	}
	rule := attested(keys(t, map[string]signaturetest.Key{"a.pub": key}), [2]string{provenance, fromMain})
	checkAttacks(t, cases, rule, 2+2*maxSignatures)
}

// TestAttestations_RejectOtherIdentities tests attestations shaped like GitHub's by another
// workflow, and by one with a certificate of another authority.
func TestAttestations_RejectOtherIdentities(t *testing.T) {
	sigstore, untrusted := signaturetest.NewSigstore(t), signaturetest.NewSigstore(t)
	fork := release
	fork.Repository = "https://github.com/evil/app"
	about := func(t *testing.T, f *fixture) []byte {
		return attestationOf(t, f.app, provenance, release.Provenance())
	}
	checkAttacks(t, map[string]attack{
		"OtherRepository": {reason: "a workflow of a fork", want: `signed by "https://github.com/evil/app/.github/workflows/release.yaml@refs/heads/main"`, attack: func(t *testing.T, f *fixture) {
			f.pushAttestation(t, sigstore.WorkflowBundle(t, fork, about(t, f)), provenance)
		}},
		"OtherAuthority": {reason: "an authority that is not trusted", want: "the signature is not valid", attack: func(t *testing.T, f *fixture) {
			f.pushAttestation(t, untrusted.WorkflowBundle(t, release, about(t, f)), provenance)
		}},
		"LegacyNotLogged": {reason: "a legacy attestation in no log", want: "in no transparency log", attack: func(t *testing.T, f *fixture) {
			a := sigstore.Attest(t, subjectName, issuerName, about(t, f), logged)
			delete(a.Annotations, "dev.sigstore.cosign/bundle")
			signaturetest.PushAttestations(t, f.reg, "app", f.app.Digest, a)
		}},
		"ByKey": {reason: "a key has no identity", want: "signed with a key", attack: func(t *testing.T, f *fixture) {
			f.pushAttestation(t, signaturetest.NewKey(t, "ecdsa").Bundle(t, about(t, f)), provenance)
		}},
	}, attested(workflows(t, sigstore), [2]string{provenance, fromMain}), 6)
}
