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

// readFunc is an operation of a reconciler: ImageRepositories list tags, ImagePolicies fetch
// digests and check tags.
type readFunc func(context.Context, *testClient, image.Name, AuthOptions) error

// readers are the read operations.
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

// imageKinds are the kinds of requests for an image.
var imageKinds = []registrytest.Kind{registrytest.Tags, registrytest.ManifestHead, registrytest.ManifestGet}

// injectImageFault injects a fault for all requests for the image.
func injectImageFault(reg *registrytest.Registry, fault registrytest.Fault) {
	for _, kind := range imageKinds {
		reg.Inject(kind, fault)
	}
}

// noDigest removes the digest header, so that the client computes the digest.
func noDigest(inner registrytest.Fault) registrytest.Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if req.Method == http.MethodHead {
			registrytest.DropHeader(digestHeader)(w, req, next)
			return
		}
		inner(w, req, next)
	}
}

// expectation is the expected error of operations.
type expectation struct {
	reason string // of the condition
	status int
	words  string
}

// faultCases are faults of registries in the field and the expected errors. Without a reason, no
// error is expected.
var faultCases = map[string]struct {
	reason string
	fault  func(*registrytest.Registry) registrytest.Fault
	all    expectation            // of all operations that are not in others
	others map[string]expectation // by operation
}{
	"401": {reason: "rejected credentials", fault: respondWith(401, "UNAUTHORIZED"),
		all: expectation{v1.AuthenticationFailedReason, 401, `refused the credentials of Secret "regcred" (401`}},
	"403": {reason: "insufficient credentials", fault: respondWith(403, "DENIED"),
		all: expectation{v1.AuthenticationFailedReason, 403, `refused the credentials of Secret "regcred" (403`}},
	"404": {reason: "the repository doesn't exist", fault: respondWith(404, "NAME_UNKNOWN"),
		all:    expectation{v1.ReadOperationFailedReason, 404, "has no such repository (404 NAME_UNKNOWN): check spec.image"},
		others: map[string]expectation{"Digest": {v1.ReadOperationFailedReason, 404, "has no such tag (404"}, "Exists": {}}},
	"429": {reason: "too many requests", fault: paused(429, "30"),
		all: expectation{v1.RateLimitedReason, 429, "limits the rate of requests (429)"}},
	"500": {reason: "server error", fault: respondWith(500, "UNKNOWN"),
		all: expectation{v1.ReadOperationFailedReason, 500, "answered with an error (500"}},
	"503": {reason: "server unavailable", fault: respondWith(503, "UNAVAILABLE"),
		all: expectation{v1.ReadOperationFailedReason, 503, "answered with an error (503"}},
	"503WithPause": {reason: "server unavailable for a while", fault: paused(503, "30"),
		all: expectation{v1.ReadOperationFailedReason, 503, "is unavailable (503) and asks to be tried later"}},
	"SlowHeaders": {reason: "no response", fault: func(reg *registrytest.Registry) registrytest.Fault { return reg.Hang() },
		all: expectation{v1.ReadOperationFailedReason, 0, "did not answer in time: check that it can be reached, or raise spec.timeout"}},
	"SlowBody": {reason: "an incomplete response, if the body is read", fault: func(reg *registrytest.Registry) registrytest.Fault { return noDigest(reg.HangInBody()) },
		all:    expectation{v1.ReadOperationFailedReason, 0, "did not answer in time"},
		others: map[string]expectation{"Exists": {}}},
	"Reset": {reason: "the connection is reset", fault: alwaysRespond(registrytest.Reset()),
		all: expectation{v1.ReadOperationFailedReason, 0, "closed the connection in the middle of an answer"}},
	"CutOff": {reason: "the connection breaks in the body", fault: alwaysRespond(noDigest(registrytest.CutOff())),
		all:    expectation{v1.ReadOperationFailedReason, 0, "closed the connection in the middle of an answer"},
		others: map[string]expectation{"Exists": {}}},
	"TruncatedJSON": {reason: "an incomplete document with a matching length", fault: alwaysRespond(noDigest(registrytest.Truncate(20))),
		all:    expectation{v1.ReadOperationFailedReason, 0, "it sent a tag list that is malformed or cut off"},
		others: map[string]expectation{"Digest": {v1.ReadOperationFailedReason, 0, "it sent a manifest that is malformed or cut off"}, "Exists": {}}},
	"EndlessPages": {reason: "endless pages", fault: alwaysRespond(onlyTags(registrytest.EndlessPages())),
		all:    expectation{v1.ReadOperationFailedReason, 0, "the tag list has more than the 50 pages that are read"},
		others: map[string]expectation{"Digest": {}, "Exists": {}}},
	"HugeBody": {reason: "a huge body", fault: alwaysRespond(noDigest(registrytest.Huge(3 << 20))),
		all:    expectation{v1.ReadOperationFailedReason, 0, "it sent more than the 2097152 bytes that are read of one answer"},
		others: map[string]expectation{"Digest": {v1.ReadOperationFailedReason, 0, "the manifest has more than the 1048576 bytes that are read"}, "Exists": {}}},
	"OffHostLink": {reason: "the next page is on another host", fault: alwaysRespond(registrytest.SetHeader("Link", `<https://evil.example.com/v2/app/tags/list?`+canary+`>; rel="next"`)),
		all:    expectation{v1.ReadOperationFailedReason, 0, "the next page of its list is on another host"},
		others: map[string]expectation{"Digest": {}, "Exists": {}}},
	"RedirectLoop": {reason: "endless redirects", fault: alwaysRespond(redirectToItself),
		all: expectation{v1.ReadOperationFailedReason, 0, "it redirects too often"}},
	"MissingDigestHeader": {reason: "without the header, the digest is computed", fault: alwaysRespond(registrytest.DropHeader(digestHeader))},
}

// alwaysRespond returns a fault that doesn't depend on the registry.
func alwaysRespond(fault registrytest.Fault) func(*registrytest.Registry) registrytest.Fault {
	return func(*registrytest.Registry) registrytest.Fault { return fault }
}

// respondWith responds with an error that quotes secrets.
func respondWith(code int, errorCode string) func(*registrytest.Registry) registrytest.Fault {
	return alwaysRespond(echo(code, errorCode))
}

func paused(code int, after string) func(*registrytest.Registry) registrytest.Fault {
	return alwaysRespond(registrytest.RetryAfter(code, after))
}

// onlyTags limits a fault to tag lists.
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

// TestClient_HandlesFaults tests the error for each fault, operation and authentication method.
func TestClient_HandlesFaults(t *testing.T) {
	logins := map[string]registrytest.Option{
		"Basic": registrytest.WithBasicAuth("user", canary),
		"Token": registrytest.WithTokenAuth("user", canary),
	}
	for name, tc := range faultCases {
		for method, option := range logins {
			for operation, read := range readers {
				t.Run(name+"/"+method+"/"+operation, func(t *testing.T) {
					g := NewWithT(t)
					checkGoroutines(t)
					reg, img := start(t, option)
					injectImageFault(reg, tc.fault(reg))
					c := newTestClient(t, withLimits(tightLimits))
					limit := 20 * time.Second
					if strings.HasPrefix(name, "Slow") {
						limit = 500 * time.Millisecond
					}
					err := read(timeout(t, limit), c, img, login(img))
					g.Expect(reg.Count(registrytest.Any)).To(BeNumerically("<=", 60), "%s: too many requests", tc.reason)
					want, found := tc.others[operation]
					if !found {
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
