// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
)

// signedImages returns, by the kind of signature, functions that sign the image of a
// fixture, and return the rule by which it passes, or for "Unsigned" is rejected.
func signedImages(t *testing.T) map[string]func(*fixture) Rule {
	t.Helper()
	key, sigstore, notary := signaturetest.NewKey(t, "ecdsa"), signaturetest.NewSigstore(t), signaturetest.NewNotary(t, signaturetest.CertificateOptions{Name: "release"})
	byKey := keys(t, map[string]signaturetest.Key{"a.pub": key})
	return map[string]func(*fixture) Rule{
		"Unsigned": func(*fixture) Rule { return byKey },
		"Legacy": func(f *fixture) Rule {
			f.pushSignatures(t, key.Sign(t, signaturetest.Payload(f.app.Digest)))
			return byKey
		},
		"Bundle": func(f *fixture) Rule {
			f.refer(t, f.pushBundle(t, key.Bundle(t, statement(f.app))))
			return byKey
		},
		"Keyless": func(f *fixture) Rule {
			f.pushSignatures(t, sigstore.Sign(t, subjectName, issuerName, signaturetest.Payload(f.app.Digest), logged))
			return identities(t, sigstore)
		},
		"Attested": func(f *fixture) Rule {
			f.refer(t, f.pushAttestation(t, key.Bundle(t, attestationOf(t, f.app, provenance, release.Provenance())), provenance))
			return attested(byKey, [2]string{provenance, fromMain})
		},
		"AttestedAndSigned": func(f *fixture) Rule {
			f.pushSignatures(t, key.Sign(t, signaturetest.Payload(f.app.Digest)))
			signaturetest.PushAttestations(t, f.reg, "app", f.app.Digest, key.Attest(t, attestationOf(t, f.app, sbom, nil)))
			return attested(byKey, [2]string{sbom, ""}, [2]string{signPredicate, ""})
		},
		"Notation": func(f *fixture) Rule {
			f.refer(t, f.pushEnvelope(t, notary.Sign(t, f.app, 0)))
			return notationRule(t, signaturetest.TrustPolicy(t, "audit", "*"), map[string][]byte{"ca.crt": notary.PEM()})
		},
	}
}

// TestVerify_ReturnsErrorOnRegistryFailure tests each failure of a registry in each
// request of a verification: the image neither passes nor is rejected.
func TestVerify_ReturnsErrorOnRegistryFailure(t *testing.T) {
	faults := map[string]func(*registrytest.Registry) registrytest.Fault{
		"500": func(*registrytest.Registry) registrytest.Fault { return registrytest.Status(500, "") },
		"502": func(*registrytest.Registry) registrytest.Fault { return registrytest.Status(502, "<html>") },
		"503": func(*registrytest.Registry) registrytest.Fault { return registrytest.RetryAfter(503, "9") },
		"429": func(*registrytest.Registry) registrytest.Fault { return registrytest.RetryAfter(429, "9") },
		"401": func(*registrytest.Registry) registrytest.Fault { return registrytest.Status(401, "") },
		"403": func(*registrytest.Registry) registrytest.Fault {
			return registrytest.Status(403, `{"errors":[{"code":"DENIED"}]}`)
		},
		"Reset":      func(*registrytest.Registry) registrytest.Fault { return registrytest.Reset() },
		"CutOff":     func(*registrytest.Registry) registrytest.Fault { return registrytest.CutOff() },
		"HTML":       func(*registrytest.Registry) registrytest.Fault { return registrytest.HTML() },
		"Empty":      func(*registrytest.Registry) registrytest.Fault { return registrytest.Status(200, "") },
		"Huge":       func(*registrytest.Registry) registrytest.Fault { return registrytest.Huge(5 << 20) },
		"Truncated":  func(*registrytest.Registry) registrytest.Fault { return registrytest.Truncate(20) },
		"Hang":       func(r *registrytest.Registry) registrytest.Fault { return r.Hang() },
		"HangInBody": func(r *registrytest.Registry) registrytest.Fault { return r.HangInBody() },
	}
	referrers := map[string][]registrytest.Option{"API": {registrytest.WithReferrers()}, "Tag": nil}
	for kind, sign := range signedImages(t) {
		for source, opts := range referrers {
			for name, fault := range faults {
				t.Run(kind+"/"+source+"/"+name, func(t *testing.T) {
					t.Parallel()
					f := newFixture(t, opts...)
					f.api = source == "API"
					rule := sign(f)
					for nth := range f.requestsOf(t, rule) {
						limit := time.Minute
						if strings.HasPrefix(name, "Hang") {
							limit = 250 * time.Millisecond
						}
						f.checkFailure(t, rule, nth, fault(f.reg), limit)
					}
				})
			}
		}
	}
}

// refer makes the registry list a referrer of the image, by the API or the referrers tag.
func (f *fixture) refer(t *testing.T, referrer signaturetest.Descriptor) {
	t.Helper()
	if !f.api {
		signaturetest.PushReferrerTag(t, f.reg, "app", f.app.Digest, referrer)
	}
}

// mayFail reports whether the failure of a request affects a verification. It excludes
// pings, and requests to a referrers API that does not exist.
func (f *fixture) mayFail(req *http.Request) bool {
	return strings.Trim(req.URL.Path, "/") != "v2" && (f.api || !strings.Contains(req.URL.Path, "/referrers/"))
}

// requestsOf returns the number of requests of a verification for which mayFail holds.
func (f *fixture) requestsOf(t *testing.T, rule Rule) int {
	t.Helper()
	n := 0
	defer f.reg.Inject(registrytest.Any, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if f.mayFail(req) {
			n++
		}
		next.ServeHTTP(w, req)
	})()
	f.verify(t, f.verifier(t, rule))
	NewWithT(t).Expect(n).To(BeNumerically(">=", 2), "requests of a verification")
	return n
}

// checkFailure checks that a verification returns an error if its requests fail from the
// nth one on.
func (f *fixture) checkFailure(t *testing.T, rule Rule, nth int, fault registrytest.Fault, limit time.Duration) {
	t.Helper()
	client := registry.NewClient(registry.WithRateLimits(ratelimit.Config{})) // without cached capabilities
	defer client.Close()
	repo := client.Open(registry.Access{Image: f.img})
	defer repo.Close()
	v, err := New(rule, nil)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	var requests atomic.Int64
	restore := f.reg.Inject(registrytest.Any, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if f.mayFail(req) && requests.Add(1) > int64(nth) {
			fault(w, req, next)
			return
		}
		next.ServeHTTP(w, req)
	})
	defer restore()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	verdict, err := v.Verify(ctx, repo, f.img, f.app.Digest, time.Now())
	if err == nil || verdict.Passed() || verdict.Reason() != "" {
		t.Errorf("request %d: got the verdict %+v and the error %v", nth, verdict, err)
	}
	if _, translated := errors.AsType[*registry.Error](err); err != nil && !translated {
		t.Errorf("request %d: got the error %v (%T)", nth, err, err)
	}
}

// TestVerify_ReturnsErrorIfSignatureIsIncomplete tests that a listed signature which the
// registry does not have is an error, unless another signature passes.
func TestVerify_ReturnsErrorIfSignatureIsIncomplete(t *testing.T) {
	key := signaturetest.NewKey(t, "ecdsa")
	f := newFixture(t)
	signed := f.pushBundle(t, key.Bundle(t, statement(f.app)))
	missing := signed
	missing.Digest = "sha256:" + strings.Repeat("0", 64)
	v := f.verifier(t, keys(t, map[string]signaturetest.Key{"a.pub": key}))
	list := func(referrers ...signaturetest.Descriptor) {
		text, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": referrers})
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		f.reg.Inject(registrytest.Referrers, registrytest.Body(signaturetest.IndexType, string(text)))
	}
	list(missing)
	if verdict, err := v.Verify(t.Context(), f.open(t), f.img, f.app.Digest, time.Now()); !errors.Is(err, registry.ErrNotFound) || verdict.Reason() != "" {
		t.Errorf("got the verdict %+v and the error %v", verdict, err)
	}
	list(missing, signed)
	NewWithT(t).Expect(f.verify(t, v)).To(HaveField("Passed()", BeTrue()))
}
