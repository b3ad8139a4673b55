// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/authn"
	ggcr "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// maxOtherHosts bounds the other hosts for which a session has anonymous tokens.
const maxOtherHosts = 8

// authTransport authenticates the requests of a session. It sends the authorization only to
// the registry's host, and retries a refused request once with a new authorization.
type authTransport struct {
	*Session
	inner http.RoundTripper
}

// Transport returns a RoundTripper that authenticates requests. It makes all requests,
// including those for pings and tokens, with inner.
func (s *Session) Transport(inner http.RoundTripper) http.RoundTripper {
	return &authTransport{Session: s, inner: inner}
}

// CheckRedirect returns the http.Client.CheckRedirect for the session.
func (s *Session) CheckRedirect() func(*http.Request, []*http.Request) error {
	return transport.CheckRedirect(s.endpoint.registry.RegistryStr(), s.endpoint.plainHTTP())
}

// RoundTrip implements http.RoundTripper.
func (t *authTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.sameHost(req.URL) {
		return t.roundTripOtherHost(req)
	}
	a, requested, err := t.authorize(req.Context(), t.inner)
	if err != nil {
		return nil, err
	}
	resp, err := t.send(req, a)
	if err != nil {
		t.invalidateScheme(err)
		return nil, err
	}
	c, refused := t.refusal(req.Context(), resp, a)
	if !refused || requested && a.satisfies(c) {
		return resp, nil
	}
	_ = resp.Body.Close()
	a, err = t.renew(req.Context(), t.inner, a, c)
	if err != nil {
		return nil, err
	}
	return t.send(req, a)
}

// send makes a request with an authorization. For another host, that has an anonymous
// token, or is the zero value.
func (t *authTransport) send(req *http.Request, a *authorization) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Scheme = cmp.Or(a.scheme, req.URL.Scheme)
	req.Header.Del("Authorization")
	if a.header != "" {
		req.Header.Set("Authorization", a.header)
	}
	return t.inner.RoundTrip(req)
}

// sameHost reports whether a URL has the registry's host and port. The scheme must be https
// unless plain HTTP is allowed for the registry.
func (t *authTransport) sameHost(u *url.URL) bool {
	return (u.Scheme == "https" || t.endpoint.plainHTTP()) && transport.IsHost(u, t.endpoint.registry.RegistryStr())
}

// refusal returns the challenge of a response with status 401, and whether another
// authorization may be accepted.
func (t *authTransport) refusal(ctx context.Context, resp *http.Response, a *authorization) (*ggcr.Challenge, bool) {
	if resp.StatusCode != http.StatusUnauthorized {
		return nil, false
	}
	c := challengeOf(ctx, resp)
	return c, c.Scheme == schemeBearer || c.Scheme == schemeBasic && a.challenge.Scheme == schemeBearer
}

// invalidateScheme makes the next request ping again if the connection failed, and plain
// HTTP is allowed, so that the registry's scheme may have changed.
func (t *authTransport) invalidateScheme(err error) {
	_, responded := errors.AsType[*transport.ThrottledError](err)
	if t.endpoint.plainHTTP() && !responded && !transport.IsTimeout(err) && !errors.Is(err, context.Canceled) {
		t.endpoint.invalidate()
		t.reset()
	}
}

// roundTripOtherHost makes a request without credentials to another host, to which the
// registry redirected. If that host is a registry that requires anonymous tokens, as behind
// a vanity domain (google/go-containerregistry#2333), it requests one.
func (t *authTransport) roundTripOtherHost(req *http.Request) (*http.Response, error) {
	host := transport.URLHost(req.URL)
	a := t.otherHostAuthorization(host)
	resp, err := t.send(req, a)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	c := challengeOf(req.Context(), resp)
	scope := c.Parameters["scope"]
	if c.Scheme != schemeBearer || scope == "" {
		return resp, nil
	}
	_ = resp.Body.Close()
	e := &exchange{host: req.URL.Host, plainHTTP: t.endpoint.plainHTTP(), scheme: req.URL.Scheme, inner: t.inner, now: t.now}
	token, err := e.token(req.Context(), authn.Anonymous, c, scope)
	if err != nil {
		return nil, err
	}
	a = &authorization{header: "Bearer " + token.value, expires: token.expires}
	t.setOtherHostAuthorization(host, a)
	return t.send(req, a)
}

// otherHostAuthorization returns a valid anonymous authorization for another host, the zero value if there is
// none.
func (s *Session) otherHostAuthorization(host string) *authorization {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.others[host]; s.valid(a) {
		return a
	}
	return &authorization{}
}

func (s *Session) setOtherHostAuthorization(host string, a *authorization) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.others) >= maxOtherHosts {
		clear(s.others)
	}
	s.others[host] = a
}
