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

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// maxRedirects bounds the redirects of one request.
const maxRedirects = 5

// session reaches one image repository under one identity.
type session struct {
	image  image.Name
	http   *http.Client
	limits Limits
}

// session authenticates and returns the session of an image repository under
// an identity. Sessions that outlive one operation are to be kept here, under
// the key (canonical name, scheme, auth.Identity()).
func (c *Client) session(ctx context.Context, img image.Name, auth AuthOptions) (*session, error) {
	if auth.host != "" && auth.host != canonicalHost(img.Host()) {
		return nil, badAnswer("the credentials are for another registry")
	}
	repo := img.Repository()
	guarded := &plainHTTPGuard{allowed: repo.Scheme() == "http", inner: c.stackOf(auth.route)}
	rt, err := transport.NewWithContext(ctx, repo.Registry, auth.authenticator(),
		transport.NewUserAgent(guarded, c.userAgent), []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, err
	}
	return &session{
		image:  img,
		http:   &http.Client{Transport: rt, CheckRedirect: limitRedirects},
		limits: c.limits,
	}, nil
}

// limitRedirects stops at maxRedirects. That credentials stay behind is up to
// the authentication, which sends them to the registry's host only.
func limitRedirects(_ *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errTooManyRedirects
	}
	return nil
}

// url returns the address of something in the repository, such as
// "tags/list". Where the registry is reached by another scheme than its name
// says, the authentication corrects it.
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
