// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// counts is the number of requests by kind.
type counts = map[registrytest.Kind]int

// withClock sets the clock of a client.
func withClock(clock *registrytest.Clock) ClientOption {
	return func(c *Client) { c.now = clock.Now }
}

// countList lists the tags and returns the number of requests that it took.
func countList(t *testing.T, c *testClient, reg *registrytest.Registry, img image.Name, auth AuthOptions) counts {
	t.Helper()
	reg.Reset()
	NewWithT(t).Expect(c.ListTags(t.Context(), img, auth)).Error().NotTo(HaveOccurred())
	return reg.Counts()
}

func TestToken_IsReusedUntilExpiry(t *testing.T) {
	reg, img := start(t, registrytest.WithTokenAuth("user", canary)) // tokens are valid for five minutes
	clock := registrytest.NewClock()
	c := newTestClient(t, withClock(clock))
	steps := []struct {
		reason string
		after  time.Duration
		want   counts
	}{
		{"nothing is cached", 0, counts{registrytest.Ping: 1, registrytest.Token: 1, registrytest.Tags: 1}},
		{"the token is valid", 4 * time.Minute, counts{registrytest.Tags: 1}},
		{"the token is renewed before it expires", 31 * time.Second, counts{registrytest.Token: 1, registrytest.Tags: 1}},
		{"the ping is cached for an hour", 50 * time.Minute, counts{registrytest.Token: 1, registrytest.Tags: 1}},
		{"idle sessions expire", 3 * time.Hour, counts{registrytest.Ping: 1, registrytest.Token: 1, registrytest.Tags: 1}},
	}
	for _, step := range steps {
		clock.Advance(step.after)
		NewWithT(t).Expect(countList(t, c, reg, img, login(img))).To(BeComparableTo(step.want), step.reason)
	}
}

func TestToken_IsRenewedIfRevoked(t *testing.T) {
	g := NewWithT(t)
	reg, img := start(t, registrytest.WithTokenAuth("user", canary))
	c := newTestClient(t)
	countList(t, c, reg, img, login(img))
	reg.ExpireTokens()
	want := counts{registrytest.Token: 1, registrytest.Tags: 2}
	g.Expect(countList(t, c, reg, img, login(img))).To(BeComparableTo(want))
	// A token that is never accepted is renewed only once.
	reg.Inject(registrytest.Tags, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		reg.ExpireTokens()
		next.ServeHTTP(w, req)
	})
	reg.Reset()
	_, err := c.ListTags(t.Context(), img, login(img))
	checkError(t, err, v1.AuthenticationFailedReason)
	g.Expect(reg.Counts()).To(BeComparableTo(want))
}

// TestSession_SharesPingButNotTokens tests that each registry is pinged once, and that each
// identity and repository has its own session.
func TestSession_SharesPingButNotTokens(t *testing.T) {
	g := NewWithT(t)
	reg, app := start(t, registrytest.WithTokenAuth("user", canary))
	reg.Push(t, "other", "1.0.0")
	c := newTestClient(t)
	countList(t, c, reg, app, login(app))

	other := parse(t, reg.Image("other"))
	g.Expect(countList(t, c, reg, other, login(other))).To(BeComparableTo(counts{registrytest.Token: 1, registrytest.Tags: 1}), "another repository of the same host")
	wrong := NewAuthOptions(app, authn.AuthConfig{Username: "user", Password: "new"}, "")
	_, err := c.ListTags(t.Context(), app, wrong)
	checkError(t, err, v1.AuthenticationFailedReason)
	g.Expect(countList(t, c, reg, app, login(app))).To(BeComparableTo(counts{registrytest.Tags: 1}), "the session of the old password is still valid")
	reg.Push(t, "third", "1.0.0")
	third := parse(t, reg.Image("third"))
	g.Expect(countList(t, c, reg, third, login(third))).To(BeComparableTo(counts{registrytest.Token: 1, registrytest.Tags: 1}), "a wrong password must not invalidate the ping of others")
}

// TestSession_ConcurrentOperationsShareToken tests that concurrent operations share one token. It
// is also for the race detector.
func TestSession_ConcurrentOperationsShareToken(t *testing.T) {
	checkGoroutines(t)
	reg, img := start(t, registrytest.WithTokenAuth("user", canary))
	reg.Inject(registrytest.Token, registrytest.Delay(20*time.Millisecond))
	c := newTestClient(t, WithRateLimits(ratelimit.Config{}))
	for _, want := range []counts{
		{registrytest.Ping: 1, registrytest.Token: 1, registrytest.Tags: 16, registrytest.ManifestHead: 16},
		{registrytest.Token: 1, registrytest.Tags: 16, registrytest.ManifestHead: 16},
	} {
		reg.Reset()
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				_, err := c.ListTags(context.Background(), img, login(img))
				_, err2 := c.Digest(context.Background(), img, "1.0.0", login(img))
				if err := errors.Join(err, err2); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got := reg.Counts()
		rejected := got[registrytest.Tags] + got[registrytest.ManifestHead] - 32 // concurrent requests with the old token
		got[registrytest.Tags], got[registrytest.ManifestHead] = 16, 16
		if diff := cmp.Diff(want, got); diff != "" || rejected > 16 {
			t.Errorf("%d requests were rejected, -want +got:\n%s", rejected, diff)
		}
		reg.ExpireTokens()
	}
}

// TestSession_WaiterStopsAtTimeout tests that an operation doesn't wait for the token of another
// one beyond its own timeout.
func TestSession_WaiterStopsAtTimeout(t *testing.T) {
	checkGoroutines(t)
	reg, img := start(t, registrytest.WithTokenAuth("user", canary))
	reg.Inject(registrytest.Token, reg.Hang())
	c := newTestClient(t)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			_, err := c.ListTags(timeout(t, 100*time.Millisecond), img, login(img))
			checkError(t, err, v1.ReadOperationFailedReason, "in time")
		})
	}
	wg.Wait()
}

// TestListTags_DoesNotRetryFailedLogin tests that a token request is not retried if it fails with
// a status that, for tags, rejects the page size.
func TestListTags_DoesNotRetryFailedLogin(t *testing.T) {
	for _, status := range []int{400, 405, 413, 416, 422} {
		reg, img := start(t, registrytest.WithTokenAuth("user", canary))
		reg.Inject(registrytest.Token, registrytest.Status(status, ""))
		_, err := newTestClient(t).ListTags(t.Context(), img, login(img))
		if e := errorOf(t, err); e.StatusCode != status || reg.Count(registrytest.Token) != 1 {
			t.Errorf("%d: got %v, and %d requests for a token", status, err, reg.Count(registrytest.Token))
		}
	}
}

// TestSession_DropsARefusedToken tests that an operation that can't renew its token doesn't
// prevent later operations from getting one. The challenge has a scope that the token server
// rejects, a realm that doesn't exist, or no realm.
func TestSession_DropsARefusedToken(t *testing.T) {
	cases := map[string]struct{ reason, challenge string }{
		"Scope": {reason: "a placeholder (cloudflare/serverless-registry#148)", challenge: `Bearer realm="http://HOST/token",service="registrytest",scope="placeholder"`},
		"Realm": {reason: "a realm without a token server", challenge: `Bearer realm="http://HOST/gone"`},
		"None":  {reason: "no realm", challenge: "Bearer"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reg, img := start(t, registrytest.WithTokenAuth("user", canary))
			c := newTestClient(t)
			countList(t, c, reg, img, login(img))
			reg.ExpireTokens()
			reg.Inject(registrytest.Tags, registrytest.Times(1, challenge(strings.Replace(tc.challenge, "HOST", img.Host(), 1))))
			reg.Inject(registrytest.Token, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
				if req.FormValue("scope") == "placeholder" {
					w.WriteHeader(http.StatusBadRequest)
					return
				}
				next.ServeHTTP(w, req)
			})
			_, err := c.ListTags(t.Context(), img, login(img))
			_ = errorOf(t, err)
			requests := countList(t, c, reg, img, login(img))
			NewWithT(t).Expect(requests[registrytest.Tags]).To(Equal(1), "%s: the rejected token was sent again: %v", tc.reason, requests)
		})
	}
}
