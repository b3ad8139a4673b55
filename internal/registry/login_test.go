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

// counts are requests by kind.
type counts = map[registrytest.Kind]int

// withClock makes a Client go by a test's clock.
func withClock(clock *registrytest.Clock) ClientOption {
	return func(c *Client) { c.now = clock.Now }
}

// requestsOfAList lists the tags, and returns the requests that this took.
func requestsOfAList(t *testing.T, c *testClient, reg *registrytest.Registry, img image.Name, auth AuthOptions) counts {
	t.Helper()
	reg.Reset()
	NewWithT(t).Expect(c.ListTags(t.Context(), img, auth)).Error().NotTo(HaveOccurred())
	return reg.Counts()
}

func TestToken_IsReusedUntilExpiry(t *testing.T) {
	reg, img := start(t, registrytest.WithTokenAuth("user", canary)) // for five minutes
	clock := registrytest.NewClock()
	c := newTestClient(t, withClock(clock))
	steps := []struct {
		reason string
		after  time.Duration
		want   counts
	}{
		{"nothing is known", 0, counts{registrytest.Ping: 1, registrytest.Token: 1, registrytest.Tags: 1}},
		{"the token is good", 4 * time.Minute, counts{registrytest.Tags: 1}},
		{"it is renewed a little early", 31 * time.Second, counts{registrytest.Token: 1, registrytest.Tags: 1}},
		{"the ping is known for an hour", 50 * time.Minute, counts{registrytest.Token: 1, registrytest.Tags: 1}},
		{"sessions are not kept forever", 3 * time.Hour, counts{registrytest.Ping: 1, registrytest.Token: 1, registrytest.Tags: 1}},
	}
	for _, step := range steps {
		clock.Advance(step.after)
		NewWithT(t).Expect(requestsOfAList(t, c, reg, img, login(img))).To(BeComparableTo(step.want), step.reason)
	}
}

func TestToken_IsRenewedIfRevoked(t *testing.T) {
	g := NewWithT(t)
	reg, img := start(t, registrytest.WithTokenAuth("user", canary))
	c := newTestClient(t)
	requestsOfAList(t, c, reg, img, login(img))
	reg.ExpireTokens()
	want := counts{registrytest.Token: 1, registrytest.Tags: 2}
	g.Expect(requestsOfAList(t, c, reg, img, login(img))).To(BeComparableTo(want))
	// One that is never taken is not renewed for ever.
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
// identity and repository has a session of its own.
func TestSession_SharesPingButNotTokens(t *testing.T) {
	g := NewWithT(t)
	reg, app := start(t, registrytest.WithTokenAuth("user", canary))
	reg.Push(t, "other", "1.0.0")
	c := newTestClient(t)
	requestsOfAList(t, c, reg, app, login(app))

	other := parse(t, reg.Image("other"))
	g.Expect(requestsOfAList(t, c, reg, other, login(other))).To(BeComparableTo(counts{registrytest.Token: 1, registrytest.Tags: 1}), "another repository of a known host")
	wrong := NewAuthOptions(app, authn.AuthConfig{Username: "user", Password: "new"}, "")
	_, err := c.ListTags(t.Context(), app, wrong)
	checkError(t, err, v1.AuthenticationFailedReason)
	g.Expect(requestsOfAList(t, c, reg, app, login(app))).To(BeComparableTo(counts{registrytest.Tags: 1}), "the old password still counts for who has it")
	reg.Push(t, "third", "1.0.0")
	third := parse(t, reg.Image("third"))
	g.Expect(requestsOfAList(t, c, reg, third, login(third))).To(BeComparableTo(counts{registrytest.Token: 1, registrytest.Tags: 1}), "a wrong password costs others a ping")
}

// TestSession_ConcurrentOperationsShareToken tests that those who come at the same time get one pass, and
// is for the race detector.
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
		refused := got[registrytest.Tags] + got[registrytest.ManifestHead] - 32 // with the old token, by several at a time
		got[registrytest.Tags], got[registrytest.ManifestHead] = 16, 16
		if diff := cmp.Diff(want, got); diff != "" || refused > 16 {
			t.Errorf("%d were refused, -want +got:\n%s", refused, diff)
		}
		reg.ExpireTokens()
	}
}

// TestSession_WaiterStopsAtTimeout tests that nobody waits for another's token longer than
// their own time.
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

// TestListTags_DoesNotRetryFailedLogin tests that a token server whose error
// has the status by which registries refuse the size of a page is asked once.
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

// TestSession_DropsARefusedToken tests that an operation which can't renew its token
// does not keep the next ones from getting one: the challenge names a scope that the
// token server refuses, another token server that is gone, or none at all.
func TestSession_DropsARefusedToken(t *testing.T) {
	cases := map[string]struct{ reason, challenge string }{
		"Scope": {reason: "a placeholder (cloudflare/serverless-registry#148)", challenge: `Bearer realm="http://HOST/token",service="registrytest",scope="placeholder"`},
		"Realm": {reason: "a realm that has no token server", challenge: `Bearer realm="http://HOST/gone"`},
		"None":  {reason: "no realm", challenge: "Bearer"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reg, img := start(t, registrytest.WithTokenAuth("user", canary))
			c := newTestClient(t)
			requestsOfAList(t, c, reg, img, login(img))
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
			requests := requestsOfAList(t, c, reg, img, login(img))
			NewWithT(t).Expect(requests[registrytest.Tags]).To(Equal(1), "%s: the refused token was sent again: %v", tc.reason, requests)
		})
	}
}
