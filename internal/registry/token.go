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
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

const (
	// maxTokenBody bounds the answer of a token server.
	maxTokenBody = 64 << 10
	// defaultTokenLife is how long a token is valid whose server does not say.
	defaultTokenLife = time.Minute
	// maxTokenMargin is how long before its end a token is renewed at most.
	maxTokenMargin = 30 * time.Second
	// clientID is how clients name themselves to OAuth2 token servers.
	clientID = "image-reflector-controller"
)

// loginError is a login that the registry, or its token server, makes
// impossible. It continues "registry HOST …".
type loginError string

// Error implements error.
func (l loginError) Error() string { return string(l) }

// What is wrong with a login.
const (
	errNoRealm      = loginError("asks for a login without saying where")
	errBadRealm     = loginError("asks for a login at an address that is not allowed")
	errNoToken      = loginError("has a token server that answers without a token")
	errBadTokenJSON = loginError("has a token server that answers with malformed JSON")
	errHugeToken    = loginError("has a token server that answers with too much")
)

// token is what a token server gives.
type token struct {
	value   string
	expires time.Time
}

// tokenRequest asks the token server that a challenge names for a token.
type tokenRequest struct {
	login       *loggedIn
	pass        *pass
	credentials *authn.AuthConfig
}

// do gets the token. An identity token is exchanged by a POST, as OAuth2 has
// it, everything else by a GET, which servers that know no POST understand too.
func (r *tokenRequest) do(ctx context.Context) (token, error) {
	realm, err := r.realm()
	if err != nil {
		return token{}, err
	}
	if r.credentials.IdentityToken == "" {
		return r.exchange(r.get(ctx, realm))
	}
	t, err := r.exchange(r.post(ctx, realm))
	if status, ok := asStatus(err); ok && (status == http.StatusNotFound || status == http.StatusMethodNotAllowed) {
		return r.exchange(r.get(ctx, realm))
	}
	return t, err
}

// realm returns the address of the token server.
func (r *tokenRequest) realm() (*url.URL, error) {
	if r.pass.challenge.realm == "" {
		return nil, errNoRealm
	}
	u, err := url.Parse(r.pass.challenge.realm)
	if err != nil || !r.allowed(u) {
		return nil, errBadRealm
	}
	return u, nil
}

// allowed reports whether tokens may be asked for at an address: on the
// registry's own host in the way in which the registry is reached, or elsewhere
// with TLS, or without where the registry is reached without. A registry must
// not lead into the private network unless it is there itself.
func (r *tokenRequest) allowed(u *url.URL) bool {
	switch {
	case u.Host == "" || u.User != nil:
		return false
	case u.Scheme != "https" && (u.Scheme != "http" || r.pass.scheme != "http"):
		return false
	case hostOf(u) == hostOf(&url.URL{Scheme: u.Scheme, Host: r.login.door.host}):
		return true
	}
	return r.login.door.mayLeadTo(u)
}

// get returns the request of the token protocol.
func (r *tokenRequest) get(ctx context.Context, realm *url.URL) (*http.Request, error) {
	u := *realm
	query := u.Query()
	query["scope"] = r.pass.scopes
	if service := r.pass.challenge.service; service != "" {
		query.Set("service", service)
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errBadRealm
	}
	if authorization := basicAuthorization(r.credentials); authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return req, nil
}

// post returns the request of the OAuth2 flow.
func (r *tokenRequest) post(ctx context.Context, realm *url.URL) (*http.Request, error) {
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {r.credentials.IdentityToken},
		"scope":         {strings.Join(r.pass.scopes, " ")},
		"client_id":     {clientID},
	}
	if service := r.pass.challenge.service; service != "" {
		form.Set("service", service)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, realm.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, errBadRealm
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req, nil
}

// exchange makes a request, unless there is none.
func (r *tokenRequest) exchange(req *http.Request, err error) (token, error) {
	if err != nil {
		return token{}, err
	}
	client := &http.Client{Transport: r.login.inner, CheckRedirect: r.checkRedirect}
	begun := r.login.now()
	resp, err := client.Do(req)
	if err != nil {
		return token{}, err
	}
	defer closeBody(resp)
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		return token{}, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenBody+1))
	if err != nil {
		return token{}, err
	}
	if len(body) > maxTokenBody {
		return token{}, errHugeToken
	}
	return parseToken(body, resp.Header.Get("Date"), begun)
}

// checkRedirect follows the redirects of a token server to where a realm may
// be. Credentials are not taken along to another host.
func (r *tokenRequest) checkRedirect(req *http.Request, via []*http.Request) error {
	if err := limitRedirects(req, via); err != nil {
		return err
	}
	if !r.allowed(req.URL) {
		return errBadRealm
	}
	if hostOf(req.URL) == hostOf(via[0].URL) && (req.URL.Scheme == "https" || via[0].URL.Scheme == "http") {
		return nil
	}
	if req.Body != nil && req.Body != http.NoBody {
		return errBadRealm
	}
	req.Header.Del("Authorization")
	return nil
}

// parseToken reads the answer of a token server to a request that was begun at
// some time. date is the server's idea of the time of the answer.
func parseToken(body []byte, date string, begun time.Time) (token, error) {
	var answer struct {
		Token       string  `json:"token"`
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
		IssuedAt    string  `json:"issued_at"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return token{}, errBadTokenJSON
	}
	value := answer.AccessToken
	if value == "" {
		value = answer.Token
	}
	if value == "" {
		return token{}, errNoToken
	}
	life := defaultTokenLife
	if answer.ExpiresIn > 0 {
		life = time.Duration(min(answer.ExpiresIn, (24*time.Hour).Seconds()) * float64(time.Second))
	}
	life -= age(answer.IssuedAt, date, life)
	return token{value: value, expires: begun.Add(life - min(life/10, maxTokenMargin))}, nil
}

// age returns how old a token was when it was sent: servers may keep one for
// more than one client. Both times are the server's, so that it does not matter
// what time it is here.
func age(issued, date string, life time.Duration) time.Duration {
	from, err := time.Parse(time.RFC3339, issued)
	if err != nil {
		return 0
	}
	to, err := http.ParseTime(date)
	if err != nil {
		return 0
	}
	return min(max(to.Sub(from), 0), life)
}

// asStatus returns the status of an answer that is a failure.
func asStatus(err error) (int, bool) {
	if failed, ok := errors.AsType[*transport.Error](err); ok {
		return failed.StatusCode, true
	}
	return 0, false
}
