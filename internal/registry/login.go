/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// loggedIn logs the requests of one session in. It keeps what it got for that: a
// token until it expires, everything else for as long as the session lasts. A
// registry that refuses it is given another one, once per request.
//
// Nothing is sent to any host but the registry's, and to the token server that
// the registry itself named.
type loggedIn struct {
	door        *door
	scope       string
	credentials authn.Authenticator
	inner       http.RoundTripper
	now         func() time.Time
	turn        turn // to get a pass

	mu   sync.Mutex
	held *pass // nil for none
}

// pass is what a request is sent with.
type pass struct {
	scheme        string // by which the registry is reached
	challenge     authChallenge
	scopes        []string  // that were asked for
	authorization string    // the header's value, "" for none
	expires       time.Time // zero for never
}

// RoundTrip implements http.RoundTripper.
func (l *loggedIn) RoundTrip(req *http.Request) (*http.Response, error) {
	p, fresh, err := l.pass(req.Context())
	if err != nil {
		return nil, err
	}
	resp, err := l.send(req, p)
	if err != nil {
		l.doubt(err)
		return nil, err
	}
	c, refused := l.refusal(resp, p)
	if !refused || fresh && p.answers(c) {
		return resp, nil
	}
	closeBody(resp)
	p, err = l.renew(req.Context(), p, c)
	if err != nil {
		return nil, err
	}
	return l.send(req, p)
}

// send makes a request with a pass. The pass is shown to the registry only, in
// the way in which the registry was reached when it was got.
func (l *loggedIn) send(req *http.Request, p *pass) (*http.Response, error) {
	req = req.Clone(req.Context())
	if l.ours(req.URL) {
		req.URL.Scheme = p.scheme
		if p.authorization != "" {
			req.Header.Set("Authorization", p.authorization)
		}
	}
	return l.inner.RoundTrip(req)
}

// ours reports whether an address is on the registry's host. Plain HTTP is as
// good as TLS only where it is allowed.
func (l *loggedIn) ours(u *url.URL) bool {
	if u.Scheme != "https" && !l.door.plain {
		return false
	}
	return hostOf(u) == hostOf(&url.URL{Scheme: u.Scheme, Host: l.door.host})
}

// refusal returns the challenge of an answer by which the registry refuses a
// pass, and whether it does so in a way that another pass may help.
func (l *loggedIn) refusal(resp *http.Response, p *pass) (authChallenge, bool) {
	if resp.StatusCode != http.StatusUnauthorized || !l.ours(resp.Request.URL) {
		return authChallenge{}, false
	}
	c := challengeOf(resp)
	return c, c.kind == loginBearer || c.kind == loginBasic && p.challenge.kind == loginBearer
}

// answers reports whether the pass is what a challenge asks for.
func (p *pass) answers(c authChallenge) bool {
	return c.kind == p.challenge.kind && c.realm == p.challenge.realm && c.service == p.challenge.service &&
		(c.scope == "" || slices.Contains(p.scopes, c.scope))
}

// pass returns a pass that has not expired, and whether it was got just now.
func (l *loggedIn) pass(ctx context.Context) (*pass, bool, error) {
	if p := l.current(); p != nil {
		return p, false, nil
	}
	if err := l.turn.take(ctx); err != nil {
		return nil, false, err
	}
	defer l.turn.give()
	if p := l.current(); p != nil {
		return p, false, nil
	}
	g, err := l.door.greet(ctx, l.inner)
	if err != nil {
		return nil, false, err
	}
	p, err := l.obtain(ctx, g.scheme, g.challenge)
	return p, true, err
}

// renew returns another pass than the one that was refused: the one that
// somebody else got meanwhile, or a new one.
func (l *loggedIn) renew(ctx context.Context, refused *pass, c authChallenge) (*pass, error) {
	if err := l.turn.take(ctx); err != nil {
		return nil, err
	}
	defer l.turn.give()
	if p := l.current(); p != nil && p != refused {
		return p, nil
	}
	return l.obtain(ctx, refused.scheme, c)
}

// current returns the pass that is held, nil where it has expired.
func (l *loggedIn) current() *pass {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil && !l.held.expires.IsZero() && !l.now().Before(l.held.expires) {
		return nil
	}
	return l.held
}

// hold keeps a pass, nil to keep none.
func (l *loggedIn) hold(p *pass) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = p
}

// doubt forgets by which scheme the registry is reached, where there is a choice
// and the connection failed.
func (l *loggedIn) doubt(err error) {
	if l.door.plain && !isAnswer(err) && !isTimeout(err) && !errors.Is(err, context.Canceled) {
		l.door.forget()
		l.hold(nil)
	}
}

// obtain gets the pass that a challenge asks for.
func (l *loggedIn) obtain(ctx context.Context, scheme string, c authChallenge) (*pass, error) {
	credentials, err := authn.Authorization(ctx, l.credentials)
	if err != nil {
		return nil, err
	}
	p := &pass{scheme: scheme, challenge: c, scopes: scopesOf(c, l.scope)}
	switch {
	case credentials.RegistryToken != "":
		p.authorization = "Bearer " + credentials.RegistryToken
	case c.kind == loginBearer:
		request := &tokenRequest{login: l, pass: p, credentials: credentials}
		t, err := request.do(ctx)
		if err != nil {
			l.door.forget() // its realm may have moved
			return nil, err
		}
		p.authorization, p.expires = "Bearer "+t.value, t.expires
	default:
		p.authorization = basicAuthorization(credentials)
	}
	l.hold(p)
	return p, nil
}

// scopesOf returns the scopes to ask for. That of the challenge comes first:
// some token servers look at no other.
func scopesOf(c authChallenge, scope string) []string {
	if c.scope == "" || c.scope == scope {
		return []string{scope}
	}
	return []string{c.scope, scope}
}

// basicAuthorization returns the header that sends a username and a password,
// and nothing where there are none.
func basicAuthorization(c *authn.AuthConfig) string {
	switch {
	case c.Username != "" && c.Password != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password))
	case c.Auth != "":
		return "Basic " + c.Auth
	default:
		return ""
	}
}
