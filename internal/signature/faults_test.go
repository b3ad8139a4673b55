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

// situations are ways in which an image may be signed, with the rule by which
// it passes, or for "Unsigned" is rejected.
func situations(t *testing.T) map[string]func(*scene) Rule {
	t.Helper()
	key, sigstore, notary := signaturetest.NewKey(t, "ecdsa"), signaturetest.NewSigstore(t), signaturetest.NewNotary(t, signaturetest.Terms{Name: "release"})
	byKey := keys(t, map[string]signaturetest.Key{"a.pub": key})
	return map[string]func(*scene) Rule{
		"Unsigned": func(*scene) Rule { return byKey },
		"Legacy": func(s *scene) Rule {
			s.pushSignatures(t, key.Sign(t, signaturetest.Payload(s.app.Digest)))
			return byKey
		},
		"Bundle": func(s *scene) Rule {
			s.refer(t, s.pushBundle(t, key.Bundle(t, statement(s.app))))
			return byKey
		},
		"Keyless": func(s *scene) Rule {
			s.pushSignatures(t, sigstore.Sign(t, subjectName, issuerName, signaturetest.Payload(s.app.Digest), logged))
			return identities(t, sigstore)
		},
		"Notation": func(s *scene) Rule {
			s.refer(t, s.pushEnvelope(t, notary.Sign(t, s.app, 0)))
			return notarized(t, signaturetest.TrustPolicy(t, "audit", "*"), map[string][]byte{"ca.crt": notary.PEM()})
		},
	}
}

// TestVerify_ReturnsErrorOnRegistryFailure tests each failure of a registry in each request of a
// verification: it never makes an image pass, and never has one rejected.
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
	ways := map[string][]registrytest.Option{"API": {registrytest.WithReferrers()}, "Tag": nil}
	for situation, sign := range situations(t) {
		for way, opts := range ways {
			for name, fault := range faults {
				t.Run(situation+"/"+way+"/"+name, func(t *testing.T) {
					t.Parallel()
					s := newScene(t, opts...)
					s.api = way == "API"
					rule := sign(s)
					for nth := range s.requestsOf(t, rule) {
						limit := time.Minute
						if strings.HasPrefix(name, "Hang") {
							limit = 250 * time.Millisecond
						}
						s.checkFailure(t, rule, nth, fault(s.reg), limit)
					}
				})
			}
		}
	}
}

// refer has a referrer of the image found, by the API or under the tag.
func (s *scene) refer(t *testing.T, referrer signaturetest.Descriptor) {
	t.Helper()
	if !s.api {
		signaturetest.PushReferrerTag(t, s.reg, "app", s.app.Digest, referrer)
	}
}

// mayFail reports whether a request is one whose failure counts. That of a
// registry without the API for referrers says no in any case.
func (s *scene) mayFail(req *http.Request) bool {
	return strings.Trim(req.URL.Path, "/") != "v2" && (s.api || !strings.Contains(req.URL.Path, "/referrers/"))
}

// requestsOf returns how many requests of a verification can fail.
func (s *scene) requestsOf(t *testing.T, rule Rule) int {
	t.Helper()
	n := 0
	defer s.reg.Inject(registrytest.Any, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if s.mayFail(req) {
			n++
		}
		next.ServeHTTP(w, req)
	})()
	s.verify(t, s.verifier(t, rule))
	NewWithT(t).Expect(n).To(BeNumerically(">=", 2), "requests of a verification")
	return n
}

// checkFailure checks a verification whose nth request fails, and all after it.
func (s *scene) checkFailure(t *testing.T, rule Rule, nth int, fault registrytest.Fault, limit time.Duration) {
	t.Helper()
	client := registry.NewClient(registry.WithRateLimits(ratelimit.Config{})) // that learned nothing before
	defer client.Close()
	repo := client.Open(registry.Access{Image: s.img})
	defer repo.Close()
	v, err := New(rule, nil)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	var seen atomic.Int64
	heal := s.reg.Inject(registrytest.Any, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if s.mayFail(req) && seen.Add(1) > int64(nth) {
			fault(w, req, next)
			return
		}
		next.ServeHTTP(w, req)
	})
	defer heal()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	verdict, err := v.Verify(ctx, repo, s.img, s.app.Digest)
	if err == nil || verdict.Passed() || verdict.Reason() != "" {
		t.Errorf("request %d: got the verdict %+v and the error %v", nth, verdict, err)
	}
	if _, translated := errors.AsType[*registry.Error](err); err != nil && !translated {
		t.Errorf("request %d: got the error %v (%T)", nth, err, err)
	}
}

// TestVerify_ReturnsErrorIfSignatureIsIncomplete tests signatures of which the registry lacks a part
// that it says it has: that is the registry's fault, until another one passes.
func TestVerify_ReturnsErrorIfSignatureIsIncomplete(t *testing.T) {
	key := signaturetest.NewKey(t, "ecdsa")
	s := newScene(t)
	signed := s.pushBundle(t, key.Bundle(t, statement(s.app)))
	gone := signed
	gone.Digest = "sha256:" + strings.Repeat("0", 64)
	v := s.verifier(t, keys(t, map[string]signaturetest.Key{"a.pub": key}))
	list := func(referrers ...signaturetest.Descriptor) {
		text, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": referrers})
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		s.reg.Inject(registrytest.Referrers, registrytest.Body(signaturetest.IndexType, string(text)))
	}
	list(gone)
	if verdict, err := v.Verify(t.Context(), s.open(t), s.img, s.app.Digest); !errors.Is(err, registry.ErrNotFound) || verdict.Reason() != "" {
		t.Errorf("got the verdict %+v and the error %v", verdict, err)
	}
	list(gone, signed)
	NewWithT(t).Expect(s.verify(t, v)).To(HaveField("Passed()", BeTrue()))
}
