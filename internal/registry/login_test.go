// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
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
	if _, err := c.ListTags(t.Context(), img, auth); err != nil {
		t.Fatal(err)
	}
	return reg.Counts()
}

func TestTokensAreUsedUntilTheyExpire(t *testing.T) {
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
		if diff := cmp.Diff(step.want, requestsOfAList(t, c, reg, img, login(img))); diff != "" {
			t.Errorf("%s: -want +got:\n%s", step.reason, diff)
		}
	}
}

func TestARevokedTokenIsRenewed(t *testing.T) {
	reg, img := start(t, registrytest.WithTokenAuth("user", canary))
	c := newTestClient(t)
	requestsOfAList(t, c, reg, img, login(img))
	reg.ExpireTokens()
	want := counts{registrytest.Token: 1, registrytest.Tags: 2}
	if diff := cmp.Diff(want, requestsOfAList(t, c, reg, img, login(img))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// One that is never taken is not renewed for ever.
	reg.Inject(registrytest.Tags, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		reg.ExpireTokens()
		next.ServeHTTP(w, req)
	})
	reg.Reset()
	_, err := c.ListTags(t.Context(), img, login(img))
	checkError(t, err, v1.AuthenticationFailedReason)
	if diff := cmp.Diff(want, reg.Counts()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestWhatIsShared tests that each registry is pinged once, and that each
// identity and repository has a session of its own.
func TestWhatIsShared(t *testing.T) {
	reg, app := start(t, registrytest.WithTokenAuth("user", canary))
	reg.Push(t, "other", "1.0.0")
	c := newTestClient(t)
	requestsOfAList(t, c, reg, app, login(app))

	other := parse(t, reg.Image("other"))
	if diff := cmp.Diff(counts{registrytest.Token: 1, registrytest.Tags: 1}, requestsOfAList(t, c, reg, other, login(other))); diff != "" {
		t.Errorf("another repository of a known host: -want +got:\n%s", diff)
	}
	wrong := NewAuthOptions(app, authn.AuthConfig{Username: "user", Password: "new"}, "")
	_, err := c.ListTags(t.Context(), app, wrong)
	checkError(t, err, v1.AuthenticationFailedReason)
	if diff := cmp.Diff(counts{registrytest.Tags: 1}, requestsOfAList(t, c, reg, app, login(app))); diff != "" {
		t.Errorf("the old password still counts for who has it: -want +got:\n%s", diff)
	}
	reg.Push(t, "third", "1.0.0")
	third := parse(t, reg.Image("third"))
	if diff := cmp.Diff(counts{registrytest.Token: 1, registrytest.Tags: 1}, requestsOfAList(t, c, reg, third, login(third))); diff != "" {
		t.Errorf("a wrong password costs others a ping: -want +got:\n%s", diff)
	}
}

// TestManyAtOnce tests that those who come at the same time get one pass, and
// is for the race detector.
func TestManyAtOnce(t *testing.T) {
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

// TestAWaiterGivesUp tests that nobody waits for another's token longer than
// their own time.
func TestAWaiterGivesUp(t *testing.T) {
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

// tokenServer is a token server that notes what it is asked.
type tokenServer struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string // "METHOD Authorization" or "METHOD form"
}

func newTokenServer(t *testing.T, reg **registrytest.Registry, handle func(*tokenServer, http.ResponseWriter, *http.Request) bool) *tokenServer {
	s := &tokenServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		credentials := req.Header.Get("Authorization")
		if req.Method == http.MethodPost {
			credentials = req.PostFormValue("refresh_token")
		}
		s.mu.Lock()
		s.seen = append(s.seen, strings.TrimSpace(req.Method+" "+credentials))
		s.mu.Unlock()
		if handle != nil && handle(s, w, req) {
			return
		}
		(*reg).ServeHTTP(w, &http.Request{Method: http.MethodGet, URL: req.URL, Header: http.Header{"Authorization": {basicCanary}}, Host: req.Host})
	}))
	t.Cleanup(s.Close)
	return s
}

// basicCanary is the header by which the tests' password is sent.
var basicCanary = "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+canary))

// TestTokenServers tests how token servers on other hosts are asked.
func TestTokenServers(t *testing.T) {
	cases := map[string]struct {
		reason      string
		credentials authn.AuthConfig
		handle      func(*tokenServer, http.ResponseWriter, *http.Request) bool
		want        []string
	}{
		"Password": {
			reason:      "a password is sent by GET",
			credentials: authn.AuthConfig{Username: "user", Password: canary},
			want:        []string{"GET " + basicCanary},
		},
		"Encoded": {
			reason:      "as is one that is encoded already",
			credentials: authn.AuthConfig{Auth: strings.TrimPrefix(basicCanary, "Basic ")},
			want:        []string{"GET " + basicCanary},
		},
		"IdentityToken": {
			reason:      "an identity token is sent by POST",
			credentials: authn.AuthConfig{IdentityToken: canary},
			want:        []string{"POST " + canary},
		},
		"NoPost": {
			reason:      "servers that know no POST get a GET",
			credentials: authn.AuthConfig{Username: "user", Password: canary, IdentityToken: canary},
			handle: func(_ *tokenServer, w http.ResponseWriter, req *http.Request) bool {
				if req.Method == http.MethodPost {
					w.WriteHeader(http.StatusMethodNotAllowed)
				}
				return req.Method == http.MethodPost
			},
			want: []string{"POST " + canary, "GET " + basicCanary},
		},
		"Redirect": {
			reason:      "a redirect on the same host keeps the password",
			credentials: authn.AuthConfig{Username: "user", Password: canary},
			handle: func(_ *tokenServer, w http.ResponseWriter, req *http.Request) bool {
				if req.URL.Path != tokenPathOfTests {
					http.Redirect(w, req, tokenPathOfTests+"?"+req.URL.RawQuery, http.StatusFound)
				}
				return req.URL.Path != tokenPathOfTests
			},
			want: []string{"GET " + basicCanary, "GET " + basicCanary},
		},
		"RedirectElsewhere": {
			reason:      "one to another host does not",
			credentials: authn.AuthConfig{Username: "user", Password: canary},
			handle: func(s *tokenServer, w http.ResponseWriter, req *http.Request) bool {
				if strings.HasPrefix(req.Host, "127.") {
					http.Redirect(w, req, strings.Replace(s.URL, "127.0.0.1", "localhost", 1)+tokenPathOfTests+"?"+req.URL.RawQuery, http.StatusFound)
				}
				return strings.HasPrefix(req.Host, "127.")
			},
			want: []string{"GET " + basicCanary, "GET"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var reg *registrytest.Registry
			server := newTokenServer(t, &reg, tc.handle)
			path := tokenPathOfTests
			if name == "Redirect" {
				path = "/first"
			}
			var img image.Name
			reg, img = start(t, registrytest.WithTokenAuth("user", canary))
			reg.Inject(registrytest.Ping, challenge(fmt.Sprintf("Bearer realm=%q,service=%q", server.URL+path, "s&p=q")))
			if _, err := newTestClient(t).ListTags(t.Context(), img, NewAuthOptions(img, tc.credentials, "")); err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, server.seen); diff != "" {
				t.Errorf("%s: -want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// tokenPathOfTests is where registrytest has its token server.
const tokenPathOfTests = "/token"
