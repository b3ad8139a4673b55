// SPDX-License-Identifier: Apache-2.0

// Package auth authenticates requests to registries. go-containerregistry implements the
// protocol: ping, challenge and token exchange. This package adds caching between
// operations, renewal of tokens before they expire, one exchange at a time, rules for the
// targets of realms and redirects, support for token responses that deviate from the
// specification, and anonymous tokens for hosts that a registry redirects to. See
// docs/design/0052.
package auth

import (
	"context"
	"encoding/base64"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/semaphore"
)

// Session authenticates the requests to one image repository with one set of credentials.
// It caches the authorization: a token until shortly before it expires, other
// authorizations for the life of the session. It is safe for concurrent use.
type Session struct {
	endpoint    *endpoint
	credentials authn.Authenticator
	now         func() time.Time
	lock        *semaphore.Weighted // held while an authorization is requested
	scope       string              // of the last authorization, guarded by lock
	current     atomic.Pointer[authorization]

	mu     sync.Mutex
	others map[string]*authorization // anonymous, by the host of a redirect
}

// NewSession returns a session without an authorization.
func (e *Endpoints) NewSession(repo name.Repository, transportKey string, credentials authn.Authenticator) *Session {
	return &Session{
		endpoint: e.entries.Get(endpointKey{registry: repo.Registry, transport: transportKey}, func() *endpoint {
			return &endpoint{registry: repo.Registry, now: e.now, lock: semaphore.NewWeighted(1)}
		}),
		credentials: credentials,
		now:         e.now,
		lock:        semaphore.NewWeighted(1),
		scope:       repo.Scope(ggcr.PullScope),
		others:      map[string]*authorization{},
	}
}

// authorization has the scheme and the Authorization header of requests.
type authorization struct {
	scheme    string // of the registry's URL
	challenge *ggcr.Challenge
	scope     string    // requested for the token
	header    string    // the value of Authorization, "" for none
	expires   time.Time // zero for never
}

// satisfies reports whether the authorization was requested for an equal challenge.
func (a *authorization) satisfies(c *ggcr.Challenge) bool {
	scope := c.Parameters["scope"]
	return c.Scheme == a.challenge.Scheme && c.Parameters["realm"] == a.challenge.Parameters["realm"] &&
		c.Parameters["service"] == a.challenge.Parameters["service"] && (scope == "" || scope == a.scope)
}

// valid reports whether an authorization exists and has not expired.
func (s *Session) valid(a *authorization) bool {
	return a != nil && (a.expires.IsZero() || s.now().Before(a.expires))
}

// cached returns the current authorization, nil if there is no valid one.
func (s *Session) cached() *authorization {
	if a := s.current.Load(); s.valid(a) {
		return a
	}
	return nil
}

// reset drops the authorization.
func (s *Session) reset() { s.current.Store(nil) }

// authorize returns a valid authorization, and whether this call requested it.
func (s *Session) authorize(ctx context.Context, rt http.RoundTripper) (*authorization, bool, error) {
	if a := s.cached(); a != nil {
		return a, false, nil
	}
	if err := s.lock.Acquire(ctx, 1); err != nil {
		return nil, false, err
	}
	defer s.lock.Release(1)
	if a := s.cached(); a != nil {
		return a, false, nil
	}
	ping, err := s.endpoint.ping(ctx, rt)
	if err != nil {
		return nil, false, err
	}
	// The scope in the challenge of a ping is not for this repository, and often a
	// placeholder that the token server refuses (cloudflare/serverless-registry#148).
	a, err := s.requestAuthorization(ctx, rt, ping.scheme, ping.challenge, s.scope)
	return a, true, err
}

// renew replaces a refused authorization by one for the challenge of the refusal, which may
// change the scope. The refused one is dropped first, so that the next operation starts
// with a ping if this one fails.
func (s *Session) renew(ctx context.Context, rt http.RoundTripper, refused *authorization, c *ggcr.Challenge) (*authorization, error) {
	if err := s.lock.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.lock.Release(1)
	if a := s.cached(); a != nil && a != refused {
		return a, nil
	}
	s.reset()
	scope := s.scope
	if requested := c.Parameters["scope"]; requested != "" {
		scope = requested
	}
	return s.requestAuthorization(ctx, rt, refused.scheme, c, scope)
}

// requestAuthorization requests the authorization for a challenge, and caches it. The caller must hold
// the lock.
func (s *Session) requestAuthorization(
	ctx context.Context, rt http.RoundTripper, scheme string, c *ggcr.Challenge, scope string,
) (*authorization, error) {
	credentials, err := authn.Authorization(ctx, s.credentials)
	if err != nil {
		return nil, err
	}
	a := &authorization{scheme: scheme, challenge: c, scope: scope}
	switch {
	case credentials.RegistryToken != "":
		a.header = "Bearer " + credentials.RegistryToken
	case c.Scheme == schemeBearer:
		e := &exchange{host: s.endpoint.registry.RegistryStr(), plainHTTP: s.endpoint.plainHTTP(), scheme: scheme, inner: rt, now: s.now}
		t, err := e.token(ctx, s.credentials, c, scope)
		if err != nil {
			if !isRefusal(err) { // a refusal is not a reason to ping again for other sessions
				s.endpoint.invalidate() // the realm may have changed
			}
			return nil, err
		}
		a.header, a.expires = "Bearer "+t.value, t.expires
	default:
		a.header = basicHeader(credentials)
	}
	s.scope = scope
	s.current.Store(a)
	return a, nil
}

// basicHeader returns the header of basic authentication, "" without credentials.
func basicHeader(c *authn.AuthConfig) string {
	switch {
	case c.Username != "" && c.Password != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password))
	case c.Auth != "":
		return "Basic " + c.Auth
	default:
		return ""
	}
}
