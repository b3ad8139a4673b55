// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	gcr "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/explain/cli"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
)

const platforms = "  platforms: [linux/amd64, linux/arm64/v8]\n"

// multiarch returns a registry with images, of which 1.1.0 is the best one for both platforms.
func multiarch(t *testing.T) *registrytest.Registry {
	t.Helper()
	registry := registrytest.Start(t)
	registry.PushIndex(t, "app", "1.0.0", "linux/amd64", "linux/arm64")
	registry.PushIndex(t, "app", "1.1.0", "linux/amd64", "linux/arm64", "linux/arm/v7")
	registry.PushIndex(t, "app", "1.2.0", "linux/amd64")
	registry.PushTags(t, "app", "1.3.0") // states no platform
	return registry
}

// keys returns the Secret "keys" with a public key as a further YAML document.
func keys(pem string) string {
	return "---\napiVersion: v1\nkind: Secret\nmetadata: {name: keys}\ndata: {cosign.pub: " + base64.StdEncoding.EncodeToString([]byte(pem)) + "}\n"
}

// newest returns an ImagePolicy that compares times.
func newest(by string) string {
	return strings.Replace(policy("1.x"), "semver: {range: \"1.x\"}", "newest: {by: "+by+"}", 1)
}

func TestGates_EvaluatePolicyFromFiles(t *testing.T) {
	t.Parallel()
	registry := multiarch(t)
	newRun := func(gates string, args ...string) run {
		return run{args: append([]string{"explain", "-f", "-"}, args...), stdin: policy("1.x") + gates + repository(registry.Image("app"))}
	}
	for _, tt := range []struct {
		reason     string
		run        run
		selected   string
		passedOver []string
		verdict    v1.CandidateVerdict
		note       string
	}{
		{"nothing is evaluated without --gates", newRun(platforms), "1.3.0", nil, explain.NotEvaluated, "--gates evaluates it here"},
		{"files have no first-seen times", newRun("  minimumAge: 1h\n"+platforms, "--gates"), "1.1.0", []string{"1.3.0", "1.2.0"},
			explain.Unknown, "its age is unknown: only the controller records it"},
		{"policy without gates", newRun("", "--gates"), "1.3.0", nil, "", ""},
		{"files without the keys", newRun("  verify: {secretRef: {name: keys}}\n", "--gates"), "1.3.0", nil, explain.Unknown, "its signatures were not checked: the files hold no Secret 'keys'"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			r := decoded(t, tt.run)
			var passedOver []string
			for _, c := range r.PassedOver {
				passedOver = append(passedOver, c.Tag)
				g.Expect(c.Message).NotTo(BeEmpty())
			}
			g.Expect(passedOver).To(Equal(tt.passedOver))
			g.Expect(*r.Selected).To(And(HaveField("Tag", tt.selected), HaveField("Verdict", tt.verdict), HaveField("Digest", HavePrefix("sha256:"))))
			g.Expect(fmt.Sprint(r.Notes)).To(ContainSubstring(tt.note))
		})
	}
}

// TestGates_RunInOrderOfRank checks that no image is read that ranks behind the first one that
// passes, except for that of --tag.
func TestGates_RunInOrderOfRank(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	registry := multiarch(t)
	withGates := run{args: []string{"explain", "-f", "-", "--gates"}, stdin: policy("1.x") + platforms + repository(registry.Image("app"))}
	got := withGates.do(t)
	g.Expect(got.out).To(ContainSubstring("Gates       for linux/amd64, linux/arm64/v8\n"))
	g.Expect(got.out).To(MatchRegexp(`(?m)^2 +1.2.0 +rejected by spec.platforms: does not provide linux/arm64, only linux/amd64$`))
	g.Expect(got.out).To(MatchRegexp(`(?m)^3 +1.1.0 +passed$`))
	for _, request := range registry.Requests() {
		g.Expect(request.Path).NotTo(ContainSubstring("1.0.0"), "a tag that ranks behind the one that passes")
	}
	withGates.args = append(withGates.args, "--tag", "1.0.0")
	g.Expect(decoded(t, withGates).Tag.Evaluated.Verdict).To(Equal(v1.CandidatePassed), "verdict on the tag of --tag")
}

// TestNewest_ReadsCreationTimesOnce checks that creation times are read for the tags that match the
// filter only.
func TestNewest_ReadsCreationTimesOnce(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	registry := registrytest.Start(t)
	for tag, year := range map[string]int{"old": 2020, "new": 2025, "none": 0, "x-filtered": 2026} {
		img, err := mutate.CreatedAt(empty.Image, createdAt(year))
		g.Expect(err).NotTo(HaveOccurred())
		registry.PushImage(t, "app", tag, img)
	}
	stdin := newest("Created") + "  filterTags: {pattern: ^\\w+$}\n" + repository(registry.Image("app"))
	r := decoded(t, run{args: []string{"explain", "-f", "-", "--gates"}, stdin: stdin})
	g.Expect(*r.Selected).To(And(HaveField("Tag", "new"), HaveField("Key", "2025-01-01T00:00:00Z")))
	g.Expect(r.RunnersUp).To(ConsistOf(HaveField("Tag", "old")))
	g.Expect(r.Tags.Unranked).To(Equal(1), "the tag none, which has no creation time")
	g.Expect(r.Notes).To(ContainElement(And(HaveField("Reason", explain.NoteTimesFrom),
		HaveField("Message", "2 candidates, such as new: the time of creation is according to its configuration"))))
	for _, request := range registry.Requests() {
		g.Expect(request.Path).NotTo(ContainSubstring("filtered"))
	}
}

func createdAt(year int) gcr.Time {
	if year == 0 {
		return gcr.Time{}
	}
	return gcr.Time{Time: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// TestVerify_ReportsInvalidExpression checks that an invalid expression is an error with its
// position, without a request.
func TestVerify_ReportsInvalidExpression(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	registry := multiarch(t)
	stdin := policy("1.x") + "  digestReflectionPolicy: Always\n  verify: {secretRef: {name: keys}, attestations: [{predicateType: a, cel: 'predicate.x ='}]}\n" +
		repository(registry.Image("app"))
	registry.Reset()
	result := run{args: []string{"explain", "-f", "-"}, stdin: stdin}.do(t)
	g.Expect(result.code).To(Equal(cli.ExitInvalid))
	g.Expect(result.err).To(ContainSubstring("spec.verify.attestations[0].cel:1:13: Syntax error"))
	g.Expect(registry.Requests()).To(BeEmpty())
}

// TestVerify_SelectsSignedImage checks that a signed image is preferred to higher unsigned ones, by
// the keys in the files.
func TestVerify_SelectsSignedImage(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	registry := multiarch(t)
	key := signaturetest.NewKey(t, "ecdsa")
	digest := registry.PushIndex(t, "app", "1.1.0", "linux/amd64")
	signaturetest.PushSignatures(t, registry, "app", digest, key.Sign(t, signaturetest.Payload(digest)))
	stdin := policy("1.x") + "  digestReflectionPolicy: Always\n  verify: {secretRef: {name: keys}}\n" + repository(registry.Image("app"))
	r := decoded(t, run{args: []string{"explain", "-f", "-", "--gates"}, stdin: stdin + keys(string(key.PublicPEM(t)))})
	g.Expect(r.PassedOver).To(HaveExactElements(
		And(HaveField("Tag", "1.3.0"), HaveField("Gate", v1.GateVerify)), And(HaveField("Tag", "1.2.0"), HaveField("Message", HavePrefix("is not verified: ")))))
	g.Expect(*r.Selected).To(And(HaveField("Tag", "1.1.0"), HaveField("Digest", digest), HaveField("Verdict", v1.CandidatePassed),
		HaveField("Message", `signed by key "cosign.pub"`)))

	encrypted := "---\napiVersion: v1\nkind: Secret\nmetadata: {name: keys}\ndata: {cosign.pub: 'ENC[x]'}\nsops: {}\n"
	r = decoded(t, run{args: []string{"explain", "-f", "-", "--gates"}, stdin: stdin + encrypted})
	g.Expect(*r.Selected).To(And(HaveField("Tag", "1.3.0"), HaveField("Verdict", explain.Unknown)), "an encrypted Secret is treated as missing")
}
