// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// trust makes a Client trust an authority.
func trust(c *testClient, pool *x509.CertPool) {
	c.pool.Transport(transport.Config{}).TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// TestRequestsOfAFlow tests that the first operation makes the requests it needs,
// and the later ones no other than their own, under each way to log in.
func TestRequestsOfAFlow(t *testing.T) {
	listed := map[registrytest.Kind]int{registrytest.Ping: 1, registrytest.Tags: 1}
	cases := map[string]struct {
		reason   string
		opts     []registrytest.Option
		login    func(image.Name) AuthOptions
		wantList map[registrytest.Kind]int
	}{
		"Anonymous": {
			reason:   "a list of one page takes a ping and the page",
			login:    func(image.Name) AuthOptions { return AuthOptions{} },
			wantList: listed,
		},
		"Basic": {
			reason:   "a password is sent along, and takes no request of its own",
			opts:     []registrytest.Option{registrytest.WithBasicAuth("user", canary)},
			login:    login,
			wantList: listed,
		},
		"Token": {
			reason:   "a token takes one request more",
			opts:     []registrytest.Option{registrytest.WithTokenAuth("user", canary)},
			login:    login,
			wantList: map[registrytest.Kind]int{registrytest.Ping: 1, registrytest.Token: 1, registrytest.Tags: 1},
		},
		"AnonymousToken": {
			reason:   "public images of registries with tokens need no credentials",
			opts:     []registrytest.Option{registrytest.WithTokenAuth("", "")},
			login:    func(image.Name) AuthOptions { return AuthOptions{} },
			wantList: map[registrytest.Kind]int{registrytest.Ping: 1, registrytest.Token: 1, registrytest.Tags: 1},
		},
		"IdentityToken": {
			reason: "an identity token is exchanged for a token",
			opts:   []registrytest.Option{registrytest.WithTokenAuth("user", canary)},
			login: func(img image.Name) AuthOptions {
				return NewAuthOptions(img, authn.AuthConfig{IdentityToken: canary}, "")
			},
			wantList: map[registrytest.Kind]int{registrytest.Ping: 1, registrytest.Token: 1, registrytest.Tags: 1},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			reg, img := start(t, tc.opts...)
			c := newTestClient(t)
			for i := range 3 {
				if i > 0 {
					tc.wantList = map[registrytest.Kind]int{registrytest.Tags: 1}
				}
				reg.Reset()
				tags, err := c.ListTags(t.Context(), img, tc.login(img))
				if diff := cmp.Diff([]string{"1.0.0", "1.1.0"}, tags); err != nil || diff != "" {
					t.Fatalf("%s: ListTags: error %v, -want +got:\n%s", tc.reason, err, diff)
				}
				if diff := cmp.Diff(tc.wantList, reg.Counts()); diff != "" {
					t.Errorf("%s: requests, -want +got:\n%s", tc.reason, diff)
				}
			}
			reg.Reset()
			if _, err := c.Digest(t.Context(), img, "1.0.0", tc.login(img)); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(map[registrytest.Kind]int{registrytest.ManifestHead: 1}, reg.Counts()); diff != "" {
				t.Errorf("a digest after a list takes one request: -want +got:\n%s", diff)
			}
		})
	}
}

func TestUserAgentIsSetInEveryRequest(t *testing.T) {
	reg, img := start(t, registrytest.WithTokenAuth("user", canary))
	c := newTestClient(t, WithUserAgent("image-reflector-controller/v9"))
	if _, err := c.ListTags(t.Context(), img, login(img)); err != nil {
		t.Fatal(err)
	}
	for _, req := range reg.Requests() {
		if ua := req.Header.Get("User-Agent"); !strings.HasPrefix(ua, "image-reflector-controller/v9") {
			t.Errorf("%s %s: got user agent %q", req.Method, req.Path, ua)
		}
	}
}

func TestAnExpiredTokenIsRenewedOnce(t *testing.T) {
	reg, img := start(t, registrytest.WithTokenAuth("user", canary), registrytest.WithMaxPage(1))
	var once sync.Once
	reg.Inject(registrytest.Tags, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if strings.Contains(req.URL.RawQuery, "last=") {
			once.Do(reg.ExpireTokens)
		}
		next.ServeHTTP(w, req)
	})
	tags, err := newTestClient(t).ListTags(t.Context(), img, login(img))
	if diff := cmp.Diff([]string{"1.0.0", "1.1.0"}, tags); err != nil || diff != "" {
		t.Fatalf("error %v, -want +got:\n%s", err, diff)
	}
	want := map[registrytest.Kind]int{registrytest.Ping: 1, registrytest.Token: 2, registrytest.Tags: 3}
	if diff := cmp.Diff(want, reg.Counts()); diff != "" {
		t.Errorf("requests, -want +got:\n%s", diff)
	}
}

func TestTLS(t *testing.T) {
	reg, img := start(t, registrytest.WithTLS(), registrytest.WithBasicAuth("user", canary))
	c := newTestClient(t)
	trust(c, reg.CertPool())
	if _, err := c.ListTags(t.Context(), img, login(img)); err != nil {
		t.Error(err)
	}
}

// TestPlainHTTPOnlyWhereAllowed tests that a registry whose name doesn't allow
// plain HTTP is never asked over it, and that spec.insecure allows it.
func TestPlainHTTPOnlyWhereAllowed(t *testing.T) {
	reg := registrytest.Start(t)
	reg.Push(t, "app", "1.0.0")
	// A name that go-containerregistry does not take for a local one, which it
	// would reach over plain HTTP without being told to.
	name := "registry.example.com/app"
	for _, insecure := range []bool{false, true} {
		c := newTestClient(t)
		c.pool.Transport(transport.Config{}).DialContext = dialTo(reg.Host())
		reg.Reset()
		img, err := image.Parse(name, insecure)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Digest(t.Context(), img, "1.0.0", AuthOptions{})
		switch {
		case insecure && err != nil:
			t.Error(err)
		case !insecure:
			checkError(t, err, v1.ReadOperationFailedReason, "plain HTTP", "spec.insecure")
			if n := reg.Count(registrytest.Any); n != 0 {
				t.Errorf("got %d requests over plain HTTP, want none", n)
			}
		}
	}
}

// TestCredentialsStayBehind tests that what a redirect leads to gets no
// credentials, and that a redirect away from TLS is not followed.
func TestCredentialsStayBehind(t *testing.T) {
	var leaked []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		leaked = append(leaked, req.Header.Get("Authorization"))
		_, _ = w.Write([]byte(`{"name":"app","tags":["1.0.0"]}`))
	}))
	t.Cleanup(elsewhere.Close)

	t.Run("Redirect", func(t *testing.T) {
		leaked = nil
		reg, img := start(t, registrytest.WithBasicAuth("user", canary))
		reg.Inject(registrytest.Tags, registrytest.Redirect(elsewhere.URL+"/v2/app/tags/list"))
		tags, err := newTestClient(t).ListTags(t.Context(), img, login(img))
		if diff := cmp.Diff([]string{"1.0.0"}, tags); err != nil || diff != "" {
			t.Errorf("a list that moved is followed: error %v, -want +got:\n%s", err, diff)
		}
		if diff := cmp.Diff([]string{""}, leaked); diff != "" {
			t.Errorf("Authorization headers that the other host got, -want +got:\n%s", diff)
		}
	})
	t.Run("AwayFromTLS", func(t *testing.T) {
		leaked = nil
		reg := registrytest.Start(t, registrytest.WithTLS())
		reg.Inject(registrytest.Ping, registrytest.Redirect(elsewhere.URL+"/v2/"))
		c := newTestClient(t)
		trust(c, reg.CertPool())
		c.pool.Transport(transport.Config{}).DialContext = dialTo(reg.Host())
		c.pool.Transport(transport.Config{}).TLSClientConfig.ServerName = "example.com" // what the certificate of httptest names
		img := parse(t, "registry.example.com/app")
		_, err := c.ListTags(t.Context(), img, login(img))
		checkError(t, err, v1.ReadOperationFailedReason, "without TLS")
		if len(leaked) != 0 {
			t.Errorf("the address without TLS was asked")
		}
	})
	t.Run("AnotherRegistry", func(t *testing.T) {
		reg, img := start(t)
		_, err := newTestClient(t).ListTags(t.Context(), img, login(parse(t, "ghcr.io/org/app")))
		checkError(t, err, v1.ReadOperationFailedReason, "another registry")
		if n := reg.Count(registrytest.Any); n != 0 {
			t.Errorf("got %d requests with credentials for another registry, want none", n)
		}
	})
}

func TestTheContextBoundsAnOperation(t *testing.T) {
	for name, inject := range map[string]func(*registrytest.Registry){
		"Ping": func(reg *registrytest.Registry) { reg.Inject(registrytest.Ping, reg.Hang()) },
		"Tags": func(reg *registrytest.Registry) { reg.Inject(registrytest.Tags, reg.Hang()) },
		"Body": func(reg *registrytest.Registry) { reg.Inject(registrytest.Tags, reg.HangInBody()) },
	} {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			reg, img := start(t)
			inject(reg)
			start := time.Now()
			_, err := newTestClient(t).ListTags(timeout(t, 100*time.Millisecond), img, AuthOptions{})
			checkError(t, err, v1.ReadOperationFailedReason, "spec.timeout")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the cause of %v is not the deadline", err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestObserverSeesEveryRequest(t *testing.T) {
	var mu sync.Mutex
	got := map[string]int{}
	reg, img := start(t, registrytest.WithTLS(), registrytest.WithTokenAuth("user", canary))
	c := newTestClient(t, WithObserver(func(o transport.Observation) {
		mu.Lock()
		defer mu.Unlock()
		got[o.Host+" "+o.Outcome]++
	}))
	trust(c, reg.CertPool())
	if _, err := c.Exists(t.Context(), img, "9.9.9", login(img)); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{reg.Host() + " 401": 1, reg.Host() + " 200": 1, reg.Host() + " 404": 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	checkGoroutines(t)
	_, img := start(t, registrytest.WithTokenAuth("user", canary))
	c := newTestClient(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := c.ListTags(context.Background(), img, login(img)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
