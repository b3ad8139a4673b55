// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

const (
	// maxTokenBody bounds the response of a token server.
	maxTokenBody = 64 << 10
	// maxRedirects bounds the redirects of one exchange.
	maxRedirects = 5
)

// Error is an authentication failure caused by the registry or its token server. Its
// text continues "registry HOST ".
type Error string

// Error implements error.
func (e Error) Error() string { return string(e) }

// The authentication failures.
const (
	ErrNoRealm    = Error("asks for a login without naming a token server")
	ErrBadRealm   = Error("asks for a login at an address that is not allowed")
	ErrPlainRealm = Error("asks for a login at an address without TLS, where credentials could be intercepted: " +
		"set the external address of the registry to one with https " +
		"(in Harbor external_url, in other registries the realm of the token server)")
	ErrNoToken   = Error("has a token server that answers without a token")
	ErrBadToken  = Error("has a token server that answers with malformed JSON")
	ErrHugeToken = Error("has a token server that answers with too much")
)

// exchange requests tokens for one host.
type exchange struct {
	host      string // that sent the challenge
	plainHTTP bool   // whether the registry may be reached without TLS
	scheme    string // of the request that was challenged
	inner     http.RoundTripper
	now       func() time.Time
}

// token requests a token from the realm of a challenge. If the registry uses TLS and the
// realm is plain HTTP on the same host, as with some proxies that terminate TLS
// (goharbor/harbor#3933), it uses https and port 443 in its place.
func (e *exchange) token(ctx context.Context, credentials authn.Authenticator, c *ggcr.Challenge, scope string) (token, error) {
	realm, err := e.realm(c)
	if err != nil {
		return token{}, err
	}
	upgraded := realm.Scheme == "http" && e.scheme == "https"
	if upgraded {
		if realm.Hostname() != (&url.URL{Host: e.host}).Hostname() {
			return token{}, ErrPlainRealm
		}
		realm.Scheme, realm.Host = "https", strings.TrimSuffix(realm.Host, ":"+realm.Port())
	}
	if !e.allowed(realm) {
		return token{}, ErrBadRealm
	}
	t, err := e.request(ctx, credentials, realm, c.Parameters["service"], scope)
	if upgraded && err != nil && ctx.Err() == nil && !isRefusal(err) {
		return token{}, ErrPlainRealm
	}
	return t, err
}

// isRefusal reports whether the token server refused the client.
func isRefusal(err error) bool {
	status, ok := errors.AsType[*ggcr.Error](err)
	_, throttled := errors.AsType[*transport.ThrottledError](err)
	return throttled || ok && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden)
}

// realm returns the URL of the token server.
func (e *exchange) realm(c *ggcr.Challenge) (*url.URL, error) {
	if c.Parameters["realm"] == "" {
		return nil, ErrNoRealm
	}
	u, err := url.Parse(c.Parameters["realm"])
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, ErrBadRealm
	}
	return u, nil
}

// allowed reports whether tokens may be requested from a URL: by TLS, or plain HTTP if the
// challenge came by plain HTTP, and from the host that sent the challenge or an allowed
// target. The rule of go-containerregistry does not cover names of the loopback address,
// and refuses private addresses even for registries in the same private network.
func (e *exchange) allowed(u *url.URL) bool {
	switch {
	case u.User != nil, u.Scheme != "https" && (u.Scheme != "http" || e.scheme != "http"):
		return false
	case u.Host != "" && transport.IsHost(u, e.host):
		return true
	default:
		return transport.AllowedTarget(u, e.plainHTTP)
	}
}

// requestAuthorization exchanges the credentials for a token with go-containerregistry. It passes the
// realm's host as the registry, because the realm has been checked already.
func (e *exchange) request(ctx context.Context, credentials authn.Authenticator, realm *url.URL, service, scope string) (token, error) {
	registry, err := name.NewRegistry(realm.Host)
	if err != nil {
		return token{}, ErrBadRealm
	}
	c := &ggcr.Challenge{
		Scheme:     schemeBearer,
		Parameters: map[string]string{"realm": realm.String(), "service": service},
		Insecure:   realm.Scheme == "http",
	}
	t := &tokenTransport{exchange: e, realm: realm}
	if _, err := ggcr.Exchange(ctx, registry, credentials, t, []string{scope}, c); err != nil {
		return token{}, err
	}
	return t.received, nil
}

// tokenTransport makes the requests of one exchange. It guards their redirects, and
// rewrites responses that go-containerregistry can't parse.
type tokenTransport struct {
	*exchange
	realm    *url.URL
	received token
}

// RoundTrip implements http.RoundTripper.
func (t *tokenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if transport.URLHost(req.URL) != transport.URLHost(t.realm) || req.URL.Scheme != "https" && t.realm.Scheme == "https" {
		req.Header.Del("Authorization") // redirected to another host
	}
	start := t.now()
	resp, err := t.inner.RoundTrip(req)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusOK:
		return t.rewrite(resp, start)
	case resp.StatusCode == http.StatusMethodNotAllowed && req.Method == http.MethodPost:
		resp.StatusCode = http.StatusNotFound // go-containerregistry then uses GET, which all servers support
	case resp.StatusCode/100 == 3:
		if err := t.checkRedirect(req, resp); err != nil {
			_ = resp.Body.Close()
			return nil, err
		}
	}
	return resp, nil
}

// checkRedirect fails if a redirect of the token server must not be followed: if its target
// is not allowed as a realm, is a private address of another host (which
// go-containerregistry refuses, too), or is another host that would receive an identity
// token.
func (t *tokenTransport) checkRedirect(req *http.Request, resp *http.Response) error {
	if transport.Redirects(req) >= maxRedirects {
		return transport.ErrTooManyRedirects
	}
	u, err := resp.Location()
	if err != nil {
		return nil //nolint:nilerr // without a location, it is not a redirect
	}
	sameHost := transport.URLHost(u) == transport.URLHost(t.realm) && (u.Scheme == "https" || t.realm.Scheme == "http")
	isAddress := net.ParseIP(u.Hostname()) != nil
	if !t.allowed(u) || !sameHost && (req.Method == http.MethodPost || isAddress && !transport.AllowedTarget(u, false)) {
		return ErrBadRealm
	}
	return nil
}

// rewrite parses the response of a token server, and returns it in the form that
// go-containerregistry expects.
func (t *tokenTransport) rewrite(resp *http.Response, start time.Time) (*http.Response, error) {
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxTokenBody {
		return nil, ErrHugeToken
	}
	if t.received, err = parseToken(body, resp.Header.Get("Date"), start); err != nil {
		return nil, err
	}
	canonical, err := json.Marshal(map[string]string{"token": t.received.value})
	if err != nil {
		return nil, err
	}
	rewritten := *resp
	rewritten.Header = maps.Clone(resp.Header)
	rewritten.Header.Del("Content-Length")
	rewritten.ContentLength = int64(len(canonical))
	rewritten.Body = io.NopCloser(bytes.NewReader(canonical))
	return &rewritten, nil
}
