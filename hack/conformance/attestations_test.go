// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// scanType is the predicate type of cosign attest --type=vuln.
const scanType = "https://cosign.sigstore.dev/attestation/vuln/v1"

// attestFormats are the formats in which the CLI stores attestations.
var attestFormats = []format{
	bundleBy3,
	{cli: cosign, name: "legacy", flags: []string{"--new-bundle-format=false"}, suffix: ".att"},
	{cli: cosignV2, name: "legacy", suffix: ".att"},
	bundleBy2,
}

// writeScan writes the result of a scan to the file NAME, in the format of Trivy's
// --format=cosign-vuln.
func (fx *fixture) writeScan(name string, finished time.Time, severity string) {
	fx.t.Helper()
	at := finished.UTC().Format(time.RFC3339)
	fx.write(name, fmt.Sprintf(`{"invocation": {"parameters": null, "uri": "", "event_id": "", "builder.id": ""},
"scanner": {"uri": "pkg:github/aquasecurity/trivy@0.60.0", "version": "0.60.0", "db": {"uri": "", "version": ""},
"result": {"Results": [{"Target": "app"}, {"Vulnerabilities": [{"VulnerabilityID": "CVE-2026-0001", "Severity": %q}]}]}},
"metadata": {"scanStartedOn": %q, "scanFinishedOn": %[2]q}}`, severity, at))
}

// attest attests a predicate about an image with the key NAME.key, and checks where the attestation
// is stored.
func (f format) attest(fx *fixture, key, digest, kind, predicate string, flags ...string) {
	fx.t.Helper()
	args := append([]string{"attest", "--yes", "--key=" + key + ".key", "--allow-http-registry", "--type=" + kind, "--predicate=" + predicate}, f.cli.flags...)
	args = append(append(args, f.flags...), flags...)
	fx.run(f.cli, append(args, fx.image()+"@"+digest)...)
	fx.Expect(fx.tags()).To(ContainElement(tagPrefixOf(digest) + f.suffix))
}

// TestAttestation_OfEachFormat tests the attestations that the CLI stores: the controller and
// explain select the image whose attestation meets the policy, and report why others do not.
func TestAttestation_OfEachFormat(t *testing.T) {
	for _, f := range attestFormats {
		t.Run(f.cli.version(t)+"/"+f.name, func(t *testing.T) {
			t.Parallel()
			fx := newFixture(t)
			fx.attestations = []v1.AttestationRequirement{{PredicateType: scanType,
				CEL: "now - timestamp(predicate.metadata.scanFinishedOn) < duration('168h') && " +
					"predicate.scanner.result.Results.all(r, !has(r.Vulnerabilities) || r.Vulnerabilities.all(v, v.Severity != 'CRITICAL'))"}}
			fx.newKey("release")
			fx.newKey("stranger")
			fx.writeScan("clean.json", time.Now(), "LOW")
			fx.writeScan("old.json", time.Now().Add(-200*time.Hour), "LOW")
			fx.writeScan("critical.json", time.Now(), "CRITICAL")
			fx.write("sbom.json", `{"spdxVersion": "SPDX-2.3", "name": "app", "packages": []}`)

			digest := fx.push("1.0.0")
			f.attest(fx, "release", digest, "spdxjson", "sbom.json")
			f.attest(fx, "release", digest, "vuln", "old.json")
			f.attest(fx, "release", digest, "vuln", "clean.json")
			f.attest(fx, "release", fx.push("1.1.0"), "vuln", "old.json")
			f.attest(fx, "release", fx.push("1.2.0"), "vuln", "critical.json")
			f.attest(fx, "stranger", fx.push("1.3.0"), "vuln", "clean.json")
			f.attest(fx, "release", fx.push("1.4.0"), "spdxjson", "sbom.json")
			replayed := fx.push("1.5.0")
			fx.retag(tagPrefixOf(digest)+f.suffix, tagPrefixOf(replayed)+f.suffix)
			signed := fx.push("1.6.0")
			bundleBy3.sign(fx, "release", signed)

			const unmet = " Rejected: is not verified: attestations[0] is not met: "
			const none, failed = unmet + `it has no attestation with the predicateType "` + scanType + `"`, unmet + `no attestation with the predicateType "` + scanType + `" passes: `
			policy := fx.policy("release")
			fx.awaitReady(policy, metav1.ConditionTrue, meta.SucceededReason)
			fx.Expect(policy.Status.LatestRef).To(HaveValue(And(HaveField("Tag", "1.0.0"), HaveField("Digest", digest))), "%+v", policy.Status.Candidates)
			fx.Expect(verdicts(policy)).To(Equal([]string{
				"1.6.0" + none,
				"1.5.0" + failed + "the attestation is that of another image",
				"1.4.0" + none + `, only with "https://spdx.dev/Document"`,
				"1.3.0" + failed + "none of the public keys made the signature",
				"1.2.0" + failed + "cel is false",
				"1.1.0" + failed + "cel is false",
				`1.0.0 Passed: signed by key "cosign.pub" ("` + scanType + `")`,
			}))
			fx.Expect(fx.explain(policy)).To(And(
				ContainSubstring("1.2.0  rejected by spec.verify: is not verified: attestations[0] is not met"),
				ContainSubstring("with attestations of "+scanType), MatchRegexp(`Selected +1\.0\.0`)))
		})
	}
}

// TestAttestation_WithSignature tests an entry that requires a signature besides an attestation.
func TestAttestation_WithSignature(t *testing.T) {
	t.Parallel()
	fx := newFixture(t)
	fx.attestations = []v1.AttestationRequirement{{PredicateType: v1.SignaturePredicateType}, {PredicateType: "https://spdx.dev/Document"}}
	fx.newKey("release")
	fx.write("sbom.json", `{"spdxVersion": "SPDX-2.3", "name": "app", "packages": []}`)
	both, legacy := fx.push("1.0.0"), fx.push("1.1.0")
	for digest, f := range map[string]format{both: bundleBy3, legacy: legacyBy2} {
		bundleBy3.attest(fx, "release", digest, "spdxjson", "sbom.json")
		f.sign(fx, "release", digest)
	}
	bundleBy3.attest(fx, "release", fx.push("1.2.0"), "spdxjson", "sbom.json")
	policy := fx.policy("release")
	fx.awaitReady(policy, metav1.ConditionTrue, meta.SucceededReason)
	fx.Expect(verdicts(policy)).To(Equal([]string{"1.2.0" + attested, `1.1.0 Passed: signed by key "cosign.pub" (signature, "https://spdx.dev/Document")`}))
	fx.only(policy, "1.0.0", metav1.ConditionTrue, meta.SucceededReason)
	fx.Expect(policy.Status.LatestRef).To(HaveValue(HaveField("Digest", both)))
}
