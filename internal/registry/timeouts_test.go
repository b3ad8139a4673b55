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

// silent returns the address of a server that sends nothing.
func silent(t *testing.T) *url.URL {
	t.Helper()
	return &url.URL{Scheme: "http", Host: greeter(t, "")}
}

// slowly answers as inner does, one request after the other, a little later.
func slowly(inner registrytest.Fault) registrytest.Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		registrytest.Delay(30*time.Millisecond)(w, req, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { inner(w, req, next) }))
	}
}

// hangs are the places in which a registry, or what leads to one, may keep its
// clients waiting.
var hangs = map[string]struct {
	reason string
	kind   registrytest.Kind
	fault  func(*testing.T, *registrytest.Registry) registrytest.Fault
	auth   func(*testing.T, image.Name) AuthOptions // the password where it is nil
	image  func(*testing.T) image.Name              // the registry's where it is nil
	only   string                                   // the only operation that it keeps waiting, "" for all
	words  string
}{
	"Ping":      {reason: "nothing is known yet", kind: registrytest.Ping, fault: hang},
	"PingBody":  {reason: "the challenge is there, its body is not", kind: registrytest.Ping, fault: hangIn401},
	"Token":     {reason: "credentials are a part of it", kind: registrytest.Token, fault: hang},
	"TokenBody": {reason: "half a token", kind: registrytest.Token, fault: hangInBody},
	"IdentityToken": {reason: "the other token protocol", kind: registrytest.Token, fault: hang, auth: func(_ *testing.T, img image.Name) AuthOptions {
		return NewAuthOptions(img, authn.AuthConfig{IdentityToken: canary}, "")
	}},
	"TokenRedirect": {reason: "a token server that moved to one that hangs", kind: registrytest.Token, fault: func(t *testing.T, _ *registrytest.Registry) registrytest.Fault {
		return registrytest.Redirect(strings.Replace(silent(t).String(), "127.0.0.1", "localhost", 1))
	}},
	"Headers": {reason: "no answer", kind: registrytest.Any, fault: hang},
	"Body":    {reason: "half a list", kind: registrytest.Tags, fault: hangInBody, only: "Tags"},
	"Manifest": {reason: "half a manifest", kind: registrytest.Any, fault: func(_ *testing.T, reg *registrytest.Registry) registrytest.Fault {
		return aboutImages(noDigest(reg.HangInBody()))
	}, only: "Digest"},
	"Pages": {reason: "each page is in time, and all of them are not", kind: registrytest.Tags, fault: func(*testing.T, *registrytest.Registry) registrytest.Fault {
		return slowly(registrytest.EndlessPages())
	}, only: "Tags"},
	"ErrorBody": {reason: "half an error", kind: registrytest.Tags, fault: func(_ *testing.T, reg *registrytest.Registry) registrytest.Fault { return hangAfter(reg, 500) }, only: "Tags"},
	"Redirect": {reason: "a list that moved to where nobody answers", kind: registrytest.Tags, fault: func(t *testing.T, _ *registrytest.Registry) registrytest.Fault {
		return registrytest.Redirect(silent(t).String())
	}, only: "Tags"},
	"TLS":        {reason: "no handshake", image: func(t *testing.T) image.Name { return parse(t, silent(t).Host+"/app") }},
	"HTTPProxy":  {reason: "a proxy that opens nothing", auth: silentProxy("http"), image: beyond},
	"SOCKSProxy": {reason: "a proxy that does not greet", auth: silentProxy("socks5"), image: beyond},
}

func hang(_ *testing.T, reg *registrytest.Registry) registrytest.Fault { return reg.Hang() }

func hangInBody(_ *testing.T, reg *registrytest.Registry) registrytest.Fault { return reg.HangInBody() }

// hangAfter answers with a status and no more.
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

// aboutImages is a fault of answers about images, and of no others.
func aboutImages(fault registrytest.Fault) registrytest.Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if req.URL.Path == "/v2/" || req.URL.Path == "/token" {
			next.ServeHTTP(w, req)
			return
		}
		fault(w, req, next)
	}
}

// beyond is an image that only a proxy can reach.
func beyond(t *testing.T) image.Name { return parse(t, "registry.beyond.example/app") }

func silentProxy(scheme string) func(*testing.T, image.Name) AuthOptions {
	return func(t *testing.T, _ image.Name) AuthOptions {
		proxy := silent(t)
		proxy.Scheme, proxy.User = scheme, url.UserPassword("user", canary)
		return via("silent", nil, proxy)
	}
}

// TestTimeout_BoundsEveryOperation tests that wherever an operation is kept waiting,
// it ends when its time is over, and nothing is left of it.
func TestTimeout_BoundsEveryOperation(t *testing.T) {
	const patience = 150 * time.Millisecond
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
				c := newTestClient(t, withLimits(Limits{Time: patience, BodyBytes: 1 << 20, ManifestBytes: 1 << 20, Pages: 5000, Tags: 5000, ListBytes: 1 << 20}))
				// The caller's bound, and the Client's own, which counts where there is none.
				for _, ctx := range []context.Context{timeout(t, patience), t.Context()} {
					begun := time.Now()
					err := read(ctx, c, img, auth)
					checkTook(t, time.Since(begun), patience)
					checkError(t, err, v1.ReadOperationFailedReason, "did not answer in time")
					if tc.auth == nil && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%s: the cause of %v is not the deadline", tc.reason, err)
					}
				}
			})
		}
	}
}

func checkTook(t *testing.T, took, patience time.Duration) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(took).To(BeNumerically("<=", 20*patience), "took %v of %v", took, patience)
	g.Expect(took).To(BeNumerically(">=", patience/2), "took %v of %v", took, patience)
}

// deaf is a Kubernetes API that never answers.
type deaf struct{ client.Reader }

// Get implements client.Reader.
func (deaf) Get(ctx context.Context, _ client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestTimeout_BoundsReadingSecrets tests that a Secret or ServiceAccount that can't be
// read in time ends an operation.
func TestTimeout_BoundsReadingSecrets(t *testing.T) {
	for name, spec := range map[string]func(*v1.ImageRepositorySpec){
		"Secret":         func(s *v1.ImageRepositorySpec) { s.SecretRef = secretRef("a") },
		"Certificates":   func(s *v1.ImageRepositorySpec) { s.CertSecretRef = secretRef("a") },
		"Proxy":          func(s *v1.ImageRepositorySpec) { s.ProxySecretRef = secretRef("a") },
		"ServiceAccount": func(s *v1.ImageRepositorySpec) { s.ServiceAccountName = "a" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				_, err := NewAuthOptionsGetter(credentials.NewResolver(deaf{})).AuthOptions(timeout(t, time.Minute), repository(spec))
				checkError(t, err, v1.AuthenticationFailedReason, "can't be read: the Kubernetes API did not answer")
				if took := time.Since(begun); took != time.Minute || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("took %v, error %v", took, err)
				}
			})
		})
	}
}
