// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"cmp"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
)

// login is the authentication method of a registry.
type login interface {
	// authenticated reports whether a request is authenticated.
	authenticated(*http.Request) bool
	// challenge responds to a request that is not authenticated.
	challenge(w http.ResponseWriter, req *http.Request, body errorResponse)
	// serves reports whether a request is for the token server.
	serves(*http.Request) bool
	// token responds to a request to the token server.
	token(http.ResponseWriter, *http.Request)
}

// noLogin accepts every request.
type noLogin struct{}

func (noLogin) authenticated(*http.Request) bool                            { return true }
func (noLogin) challenge(http.ResponseWriter, *http.Request, errorResponse) {}
func (noLogin) serves(*http.Request) bool                                   { return false }
func (noLogin) token(w http.ResponseWriter, req *http.Request)              { http.NotFound(w, req) }

// basicLogin accepts one username and password.
type basicLogin struct {
	username, password string
	header             string // WWW-Authenticate; empty sends a default Basic challenge
	body               string // plain-text body of the challenge; empty for the registry's
}

// withBasic makes a registry require an account's password, with header as its challenge.
func withBasic(account authn.AuthConfig, header string) Option {
	return func(r *Registry) {
		r.login = &basicLogin{username: account.Username, password: account.Password, header: header}
	}
}

func (l *basicLogin) authenticated(req *http.Request) bool {
	username, password, _ := req.BasicAuth()
	return username == l.username && password == l.password
}

func (l *basicLogin) challenge(w http.ResponseWriter, _ *http.Request, body errorResponse) {
	w.Header().Set("WWW-Authenticate", cmp.Or(l.header, `Basic realm="registrytest"`))
	if l.body != "" {
		http.Error(w, l.body, http.StatusUnauthorized)
		return
	}
	body.write(w)
}

func (l *basicLogin) serves(*http.Request) bool { return false }

func (l *basicLogin) token(w http.ResponseWriter, req *http.Request) { http.NotFound(w, req) }

// unauthorized responds with status 401, as in the distribution specification.
func unauthorized(w http.ResponseWriter) {
	errorResponse{http.StatusUnauthorized, errorBody("UNAUTHORIZED", "authentication required")}.write(w)
}
