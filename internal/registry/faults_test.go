// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// reader is an operation of either kind of object: ImageRepositories list tags,
// ImagePolicies fetch digests and look for tags.
type readFunc func(context.Context, *testClient, image.Name, AuthOptions) error

// readers are all of them.
var readers = map[string]readFunc{
	"Tags": func(ctx context.Context, c *testClient, img image.Name, auth AuthOptions) error {
		_, err := c.ListTags(ctx, img, auth)
		return err
	},
	"Digest": func(ctx context.Context, c *testClient, img image.Name, auth AuthOptions) error {
		_, err := c.Digest(ctx, img, "1.0.0", auth)
		return err
	},
	"Exists": func(ctx context.Context, c *testClient, img image.Name, auth AuthOptions) error {
		_, err := c.Exists(ctx, img, "1.0.0", auth)
		return err
	},
}

// answers are the kinds of requests that are about the image.
var answers = []registrytest.Kind{registrytest.Tags, registrytest.ManifestHead, registrytest.ManifestGet}

// injectAnswers switches a fault on for whatever is asked about the image.
func injectAnswers(reg *registrytest.Registry, fault registrytest.Fault) {
	for _, kind := range answers {
		reg.Inject(kind, fault)
	}
}

// noDigest makes a registry name no digest, so that it is computed.
func noDigest(inner registrytest.Fault) registrytest.Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if req.Method == http.MethodHead {
			registrytest.DropHeader(digestHeader)(w, req, next)
			return
		}
		inner(w, req, next)
	}
}

// expectation is how operations that fail in the same way say so.
type expectation struct {
	reason string // of the condition
	status int
	words  string
}

// faultCases are what registries do in the field, and what comes of it: an
// error, or none where its reason is empty.
var faultCases = map[string]struct {
	reason string
	fault  func(*registrytest.Registry) registrytest.Fault
	all    expectation            // of the operations that are not among the others
	others map[string]expectation // by the operation
}{
	"401": {reason: "credentials that are refused", fault: answered(401, "UNAUTHORIZED"),
		all: expectation{v1.AuthenticationFailedReason, 401, `refused the credentials of Secret "regcred" (401`}},
	"403": {reason: "credentials that are not enough", fault: answered(403, "DENIED"),
		all: expectation{v1.AuthenticationFailedReason, 403, `refused the credentials of Secret "regcred" (403`}},
	"404": {reason: "nothing is there", fault: answered(404, "NAME_UNKNOWN"),
		all:    expectation{v1.ReadOperationFailedReason, 404, "has no such repository (404 NAME_UNKNOWN): check spec.image"},
		others: map[string]expectation{"Digest": {v1.ReadOperationFailedReason, 404, "has no such tag (404"}, "Exists": {}}},
	"429": {reason: "too many requests", fault: paused(429, "30"),
		all: expectation{v1.RateLimitedReason, 429, "limits the rate of requests (429)"}},
	"500": {reason: "a registry in trouble", fault: answered(500, "UNKNOWN"),
		all: expectation{v1.ReadOperationFailedReason, 500, "answered with an error (500"}},
	"503": {reason: "a registry that is down", fault: answered(503, "UNAVAILABLE"),
		all: expectation{v1.ReadOperationFailedReason, 503, "answered with an error (503"}},
	"503WithPause": {reason: "a registry that is being updated", fault: paused(503, "30"),
		all: expectation{v1.ReadOperationFailedReason, 503, "is unavailable (503) and asks to be tried later"}},
	"SlowHeaders": {reason: "no answer", fault: func(reg *registrytest.Registry) registrytest.Fault { return reg.Hang() },
		all: expectation{v1.ReadOperationFailedReason, 0, "did not answer in time: check that it can be reached, or raise spec.timeout"}},
	"SlowBody": {reason: "half an answer, which matters only where it is read", fault: func(reg *registrytest.Registry) registrytest.Fault { return noDigest(reg.HangInBody()) },
		all:    expectation{v1.ReadOperationFailedReason, 0, "did not answer in time"},
		others: map[string]expectation{"Exists": {}}},
	"Reset": {reason: "a connection that ends", fault: always(registrytest.Reset()),
		all: expectation{v1.ReadOperationFailedReason, 0, "closed the connection in the middle of an answer"}},
	"CutOff": {reason: "a connection that ends in the middle", fault: always(noDigest(registrytest.CutOff())),
		all:    expectation{v1.ReadOperationFailedReason, 0, "closed the connection in the middle of an answer"},
		others: map[string]expectation{"Exists": {}}},
	"TruncatedJSON": {reason: "half a document that says it is whole", fault: always(noDigest(registrytest.Truncate(20))),
		all:    expectation{v1.ReadOperationFailedReason, 0, "it sent a tag list that is malformed or cut off"},
		others: map[string]expectation{"Digest": {v1.ReadOperationFailedReason, 0, "it sent a manifest that is malformed or cut off"}, "Exists": {}}},
	"EndlessPages": {reason: "pages without an end", fault: always(onlyTags(registrytest.EndlessPages())),
		all:    expectation{v1.ReadOperationFailedReason, 0, "the tag list has more than the 50 pages that are read"},
		others: map[string]expectation{"Digest": {}, "Exists": {}}},
	"HugeBody": {reason: "a body without an end", fault: always(noDigest(registrytest.Huge(3 << 20))),
		all:    expectation{v1.ReadOperationFailedReason, 0, "it sent more than the 2097152 bytes that are read of one answer"},
		others: map[string]expectation{"Digest": {v1.ReadOperationFailedReason, 0, "the manifest has more than the 1048576 bytes that are read"}, "Exists": {}}},
	"OffHostLink": {reason: "a next page elsewhere", fault: always(registrytest.SetHeader("Link", `<https://evil.example.com/v2/app/tags/list?`+canary+`>; rel="next"`)),
		all:    expectation{v1.ReadOperationFailedReason, 0, "the next page of its list is on another host"},
		others: map[string]expectation{"Digest": {}, "Exists": {}}},
	"RedirectLoop": {reason: "redirects without an end", fault: always(redirectToItself),
		all: expectation{v1.ReadOperationFailedReason, 0, "it redirects too often"}},
	"MissingDigestHeader": {reason: "a digest is computed where none is named", fault: always(registrytest.DropHeader(digestHeader))},
}

// always is a fault that needs no registry.
func always(fault registrytest.Fault) func(*registrytest.Registry) registrytest.Fault {
	return func(*registrytest.Registry) registrytest.Fault { return fault }
}

// answered is an answer that quotes secrets.
func answered(code int, errorCode string) func(*registrytest.Registry) registrytest.Fault {
	return always(echo(code, errorCode))
}

func paused(code int, after string) func(*registrytest.Registry) registrytest.Fault {
	return always(registrytest.RetryAfter(code, after))
}

// onlyTags is a fault of tag lists.
func onlyTags(fault registrytest.Fault) registrytest.Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if !strings.HasSuffix(req.URL.Path, "/tags/list") {
			next.ServeHTTP(w, req)
			return
		}
		fault(w, req, next)
	}
}

func redirectToItself(w http.ResponseWriter, req *http.Request, _ http.Handler) {
	http.Redirect(w, req, req.URL.Path, http.StatusTemporaryRedirect)
}

// TestClient_HandlesFaults tests what comes of each fault, for each operation, under each way
// to log in.
func TestClient_HandlesFaults(t *testing.T) {
	logins := map[string]registrytest.Option{
		"Basic": registrytest.WithBasicAuth("user", canary),
		"Token": registrytest.WithTokenAuth("user", canary),
	}
	for name, tc := range faultCases {
		for way, option := range logins {
			for operation, read := range readers {
				t.Run(name+"/"+way+"/"+operation, func(t *testing.T) {
					g := NewWithT(t)
					checkGoroutines(t)
					reg, img := start(t, option)
					injectAnswers(reg, tc.fault(reg))
					c := newTestClient(t, withLimits(tightLimits))
					patience := 20 * time.Second
					if strings.HasPrefix(name, "Slow") {
						patience = 500 * time.Millisecond
					}
					err := read(timeout(t, patience), c, img, login(img))
					g.Expect(reg.Count(registrytest.Any)).To(BeNumerically("<=", 60), "%s: requests, want an end", tc.reason)
					want, special := tc.others[operation]
					if !special {
						want = tc.all
					}
					if want.reason == "" {
						g.Expect(err).NotTo(HaveOccurred(), tc.reason)
						return
					}
					checkError(t, err, want.reason, want.words, img.String())
					g.Expect(errorOf(t, err).StatusCode).To(Equal(want.status), "%s: the status", tc.reason)
				})
			}
		}
	}
}
