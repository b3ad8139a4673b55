// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
)

// TestAttestations_BoundExpressions tests that an expression over a large predicate is
// stopped, and is a rejection, not an error.
func TestAttestations_BoundExpressions(t *testing.T) {
	key, f := signaturetest.NewKey(t, "ecdsa"), newFixture(t, registrytest.WithReferrers())
	f.pushAttestation(t, key.Bundle(t, attestationOf(t, f.app, scan, signaturetest.Scan(time.Now(), strings.Split(strings.Repeat("LOW,", 999)+"LOW", ",")...))), scan)
	rule := keys(t, map[string]signaturetest.Key{"a.pub": key})
	const quadratic = "predicate.scanner.result.Results[1].Vulnerabilities.all(a, predicate.scanner.result.Results[1].Vulnerabilities.all(b, a.Severity == b.Severity))"
	NewWithT(t).Expect(f.verify(t, f.verifier(t, attested(rule, [2]string{scan, quadratic}))).Reason()).To(HaveSuffix(
		"cel exceeds the cost limit of 1000000: check fewer elements of the predicate"))
	NewWithT(t).Expect(f.verify(t, f.verifier(t, attested(rule, [2]string{scan, noCritical})))).To(HaveField("Passed()", BeTrue()))
}

// TestAttestations_ReadLargeStatements tests an SBOM near the maximum size.
func TestAttestations_ReadLargeStatements(t *testing.T) {
	key, f := signaturetest.NewKey(t, "ecdsa"), newFixture(t, registrytest.WithReferrers())
	var packages []any
	for i := range 25_000 {
		packages = append(packages, map[string]any{"name": fmt.Sprintf("package-%05d", i), "versionInfo": "1.2.3", "licenseConcluded": "Apache-2.0", "SPDXID": fmt.Sprintf("SPDXRef-%05d", i)})
	}
	bundle := key.Bundle(t, attestationOf(t, f.app, sbom, map[string]any{"packages": packages}))
	NewWithT(t).Expect(len(bundle)).To(And(BeNumerically(">", 3<<20), BeNumerically("<=", maxAttestation)), "the size of the bundle")
	f.pushAttestation(t, bundle, sbom)
	rule := attested(keys(t, map[string]signaturetest.Key{"a.pub": key}), [2]string{sbom, "!predicate.packages.exists(p, p.name == 'xz-utils' && p.versionInfo == '5.6.0')"})
	NewWithT(t).Expect(f.verify(t, f.verifier(t, rule))).To(HaveField("Passed()", BeTrue()))
}

// TestAttestations_DependOnTime tests an expression that uses the time.
func TestAttestations_DependOnTime(t *testing.T) {
	key, finished := signaturetest.NewKey(t, "ecdsa"), time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	rule := keys(t, map[string]signaturetest.Key{"a.pub": key})
	for name, tc := range map[string]struct {
		severity string
		now      time.Time
		want     bool
	}{
		"InTime":         {severity: "LOW", now: finished.Add(167 * time.Hour), want: true},
		"TooLate":        {severity: "LOW", now: finished.Add(169 * time.Hour)},
		"CriticalInTime": {severity: "CRITICAL", now: finished.Add(167 * time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			f := newFixture(t, registrytest.WithReferrers())
			f.pushAttestation(t, key.Bundle(t, attestationOf(t, f.app, scan, signaturetest.Scan(finished, tc.severity))), scan)
			v := f.verifier(t, attested(rule, [2]string{scan, fresh + " && " + noCritical}))
			g.Expect(v.DependsOnTime()).To(BeTrue())
			verdict, err := v.Verify(t.Context(), f.open(t), f.img, f.app.Digest, tc.now)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(verdict.Passed()).To(Equal(tc.want), verdict.Reason())
		})
	}
	f := newFixture(t)
	NewWithT(t).Expect(f.verifier(t, attested(rule, [2]string{scan, noCritical})).DependsOnTime()).To(BeFalse())
	NewWithT(t).Expect(f.verifier(t, rule).DependsOnTime()).To(BeFalse())
}

// TestExpression_IsCompiled tests that an invalid expression is an error in the policy, with
// its position.
func TestExpression_IsCompiled(t *testing.T) {
	long := strings.Repeat("x", 513)
	for text, want := range map[string]string{
		"predicates.x == 1":               "spec.verify.attestations[1].cel:1:1: undeclared reference to 'predicates': the variables are predicate, predicateType and now\n | predicates.x == 1\n | ^",
		"predicate.x ==":                  "spec.verify.attestations[1].cel:1:15: Syntax error",
		"predicate.x == 1 &&\n  1 == 'a'": "spec.verify.attestations[1].cel:2:5: found no matching overload for '_==_' applied to '(int, string)'\n |   1 == 'a'\n | ....^",
		"now < timestamp('yesterday')":    ":1:17: invalid timestamp argument",
		"predicate.x.matches('(')":        ":1:21: invalid matches argument",
		"'" + long + "'":                  "must be true or false, but is of the type string",
		"now() > predicate.x":             "undeclared reference to 'now': now is a variable: write now",
		"[1].exists(now, now == 1)":       "now can't be the name of an element: it is a variable: use another name",
		"[1].all(predicate, true)":        "predicate can't be the name of an element",
		"[1].map(predicateType, 1) == []": "predicateType can't be the name of an element",
		"http.get('https://x') == 'y'":    "undeclared reference to 'http'",
	} {
		_, err := newRequirements([]v1.AttestationRequirement{{PredicateType: sbom}, {PredicateType: sbom, CEL: text}})
		invalid, ok := errors.AsType[*InvalidError](err)
		if !ok || !invalid.InSpec() || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got the error %v (%T), want %q", text, err, err, want)
		}
	}
}
