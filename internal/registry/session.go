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
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/fluxcd/image-reflector-controller/internal/image"
)

const (
	// maxRedirects bounds the redirects of one request.
	maxRedirects = 5
	// maxSessions is how many sessions are kept. One takes about as many bytes
	// as its token has, which are a few thousand.
	maxSessions = 20_000
	// sessionIdle is how long a session is kept that nobody uses.
	sessionIdle = 2 * time.Hour
)

// session reaches one image repository under one identity. It is kept from one
// operation to the next, and used by several at a time.
type session struct {
	image  image.Name
	http   *http.Client
	limits Limits
	large  chan struct{} // of the Client
	habits habits
	now    func() time.Time
}

// sessionKey tells sessions apart. Another password is another identity, so it
// counts from the next operation on.
type sessionKey struct {
	name     string
	plain    bool // plain HTTP is allowed
	identity string
}

// session returns the session of an image repository under an identity.
func (c *Client) session(img image.Name, auth AuthOptions) (*session, error) {
	if auth.host != "" && auth.host != canonicalHost(img.Host()) {
		return nil, badAnswer("the credentials are for another registry")
	}
	key := sessionKey{name: img.Canonical(), plain: img.Repository().Scheme() == "http", identity: auth.Identity()}
	return c.sessions.get(key, func() *session { return c.newSession(img, auth, key.plain) }), nil
}

// newSession returns a session that makes its first requests when it is used.
func (c *Client) newSession(img image.Name, auth AuthOptions, plain bool) *session {
	repo := img.Repository()
	way := doorKey{host: repo.RegistryStr(), plain: plain, route: auth.route.key}
	d := c.doors.get(way, func() *door { return newDoor(way.host, plain, c.now) })
	guarded := &plainHTTPGuard{allowed: plain, inner: &routed{client: c, route: auth.route}}
	return &session{
		image: img,
		http: &http.Client{CheckRedirect: d.checkRedirect, Transport: &loggedIn{
			door:        d,
			scope:       repo.Scope(transport.PullScope),
			credentials: auth.authenticator(),
			inner:       &userAgent{product: c.userAgent, inner: guarded},
			now:         c.now,
			turn:        newTurn(),
		}},
		limits: c.limits,
		now:    c.now,
		large:  c.large,
	}
}

// limitRedirects stops at maxRedirects.
func limitRedirects(_ *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errTooManyRedirects
	}
	return nil
}

// url returns the address of something in the repository, such as
// "tags/list". Where the registry is reached by another scheme than its name
// says, the login corrects it.
func (s *session) url(path string) *url.URL {
	repo := s.image.Repository()
	return &url.URL{
		Scheme: repo.Scheme(),
		Host:   repo.RegistryStr(),
		Path:   "/v2/" + repo.RepositoryStr() + "/" + path,
	}
}

// do makes a request without a body. The caller closes the response's.
func (s *session) do(ctx context.Context, method string, u *url.URL, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	return s.http.Do(req)
}

// closeBody ends a response. It reads what little may be left, so that the
// connection can be used again.
func closeBody(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	_ = resp.Body.Close()
}
