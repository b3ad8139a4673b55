// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// startSilent returns the URL of a server that sends nothing.
func startSilent(t *testing.T) *url.URL {
	t.Helper()
	return &url.URL{Scheme: "http", Host: startGreeter(t, "")}
}

// slowly delays each response of a fault.
func slowly(inner registrytest.Fault) registrytest.Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		registrytest.Delay(30*time.Millisecond)(w, req, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { inner(w, req, next) }))
	}
}

// hangs are the places where a registry, or a proxy or token server, may hang.
var hangs = map[string]struct {
	reason string
	kind   registrytest.Kind
	fault  func(*testing.T, *registrytest.Registry) registrytest.Fault
	auth   func(*testing.T, image.Name) AuthOptions // nil for the password
	image  func(*testing.T) image.Name              // nil for the registry's image
	only   string                                   // the only operation that hangs, "" for all
	words  string
}{
	"Ping":      {reason: "no response to the ping", kind: registrytest.Ping, fault: hang},
	"PingBody":  {reason: "a challenge without a body", kind: registrytest.Ping, fault: hangIn401},
	"Token":     {reason: "no response of the token server", kind: registrytest.Token, fault: hang},
	"TokenBody": {reason: "an incomplete token", kind: registrytest.Token, fault: hangInBody},
	"IdentityToken": {reason: "the other token protocol", kind: registrytest.Token, fault: hang, auth: func(_ *testing.T, img image.Name) AuthOptions {
		return NewAuthOptions(img, authn.AuthConfig{IdentityToken: canary}, "")
	}},
	"TokenRedirect": {reason: "the token server redirects to a hanging server", kind: registrytest.Token, fault: func(t *testing.T, _ *registrytest.Registry) registrytest.Fault {
		return registrytest.Redirect(strings.Replace(startSilent(t).String(), "127.0.0.1", "localhost", 1))
	}},
	"Headers": {reason: "no response", kind: registrytest.Any, fault: hang},
	"Body":    {reason: "an incomplete list", kind: registrytest.Tags, fault: hangInBody, only: "Tags"},
	"Manifest": {reason: "an incomplete manifest", kind: registrytest.Any, fault: func(_ *testing.T, reg *registrytest.Registry) registrytest.Fault {
		return aboutImages(noDigest(reg.HangInBody()))
	}, only: "Digest"},
	"Pages": {reason: "single pages are in time, but not all of them", kind: registrytest.Tags, fault: func(*testing.T, *registrytest.Registry) registrytest.Fault {
		return slowly(registrytest.EndlessPages())
	}, only: "Tags"},
	"ErrorBody": {reason: "an incomplete error", kind: registrytest.Tags, fault: func(_ *testing.T, reg *registrytest.Registry) registrytest.Fault { return hangAfter(reg, 500) }, only: "Tags"},
	"Redirect": {reason: "a redirect to a hanging server", kind: registrytest.Tags, fault: func(t *testing.T, _ *registrytest.Registry) registrytest.Fault {
		return registrytest.Redirect(startSilent(t).String())
	}, only: "Tags"},
	"TLS":        {reason: "no TLS handshake", image: func(t *testing.T) image.Name { return parse(t, startSilent(t).Host+"/app") }},
	"HTTPProxy":  {reason: "a proxy that opens no connection", auth: silentProxy("http"), image: beyond},
	"SOCKSProxy": {reason: "a SOCKS proxy without a handshake", auth: silentProxy("socks5"), image: beyond},
}

func hang(_ *testing.T, reg *registrytest.Registry) registrytest.Fault { return reg.Hang() }

func hangInBody(_ *testing.T, reg *registrytest.Registry) registrytest.Fault { return reg.HangInBody() }

// hangAfter responds with a status and hangs.
func hangAfter(reg *registrytest.Registry, code int) registrytest.Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		w.WriteHeader(code)
		_ = http.NewResponseController(w).Flush()
		reg.Hang()(w, req, next)
	}
}

func hangIn401(_ *testing.T, reg *registrytest.Registry) registrytest.Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+req.Host+`/token"`)
		hangAfter(reg, http.StatusUnauthorized)(w, req, next)
	}
}

// aboutImages limits a fault to requests for images.
func aboutImages(fault registrytest.Fault) registrytest.Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if req.URL.Path == "/v2/" || req.URL.Path == "/token" {
			next.ServeHTTP(w, req)
			return
		}
		fault(w, req, next)
	}
}

// beyond returns an image that is only reachable through a proxy.
func beyond(t *testing.T) image.Name { return parse(t, "registry.beyond.example/app") }

func silentProxy(scheme string) func(*testing.T, image.Name) AuthOptions {
	return func(t *testing.T, _ image.Name) AuthOptions {
		proxy := startSilent(t)
		proxy.Scheme, proxy.User = scheme, url.UserPassword("user", canary)
		return via("silent", nil, proxy)
	}
}

// TestTimeout_BoundsEveryOperation tests that every operation ends at its timeout, wherever it
// hangs, and leaks nothing.
func TestTimeout_BoundsEveryOperation(t *testing.T) {
	const limit = 150 * time.Millisecond
	checkGoroutines(t)
	for name, tc := range hangs {
		for operation, read := range readers {
			if tc.only != "" && tc.only != operation {
				continue
			}
			t.Run(name+"/"+operation, func(t *testing.T) {
				t.Parallel()
				reg, img := start(t, registrytest.WithTokenAuth("user", canary))
				auth := login(img)
				if tc.auth != nil {
					auth = tc.auth(t, img)
				}
				if tc.image != nil {
					img = tc.image(t)
					auth = AuthOptions{Transport: auth.Transport, CertOrigin: auth.CertOrigin, ProxyOrigin: auth.ProxyOrigin}
				}
				if tc.fault != nil {
					reg.Inject(tc.kind, tc.fault(t, reg))
				}
				c := newTestClient(t, withLimits(Limits{Time: limit, BodyBytes: 1 << 20, ManifestBytes: 1 << 20, Pages: 5000, Tags: 5000, ListBytes: 1 << 20}))
				// The caller's deadline, and without one, the limit of the client.
				for _, ctx := range []context.Context{timeout(t, limit), t.Context()} {
					started := time.Now()
					err := read(ctx, c, img, auth)
					checkDuration(t, time.Since(started), limit)
					checkError(t, err, v1.ReadOperationFailedReason, "did not answer in time")
					if tc.auth == nil && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%s: the cause of %v is not the deadline", tc.reason, err)
					}
				}
			})
		}
	}
}

func checkDuration(t *testing.T, duration, limit time.Duration) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(duration).To(BeNumerically("<=", 20*limit), "took %v, the limit is %v", duration, limit)
	g.Expect(duration).To(BeNumerically(">=", limit/2), "took %v, the limit is %v", duration, limit)
}

// hangingReader is a Kubernetes API that never responds.
type hangingReader struct{ client.Reader }

// Get implements client.Reader.
func (hangingReader) Get(ctx context.Context, _ client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestTimeout_BoundsReadingSecrets tests that an operation ends at its timeout while it reads a
// Secret or ServiceAccount.
func TestTimeout_BoundsReadingSecrets(t *testing.T) {
	for name, spec := range map[string]func(*v1.ImageRepositorySpec){
		"Secret":         func(s *v1.ImageRepositorySpec) { s.SecretRef = secretRef("a") },
		"Certificates":   func(s *v1.ImageRepositorySpec) { s.CertSecretRef = secretRef("a") },
		"Proxy":          func(s *v1.ImageRepositorySpec) { s.ProxySecretRef = secretRef("a") },
		"ServiceAccount": func(s *v1.ImageRepositorySpec) { s.ServiceAccountName = "a" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				started := time.Now()
				_, err := NewAuthOptionsGetter(credentials.NewResolver(hangingReader{})).AuthOptions(timeout(t, time.Minute), repository(spec))
				checkError(t, err, v1.AuthenticationFailedReason, "can't be read: the Kubernetes API did not answer")
				if duration := time.Since(started); duration != time.Minute || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("took %v, error %v", duration, err)
				}
			})
		})
	}
}
