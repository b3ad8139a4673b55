// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"cmp"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
)

// login is how a registry wants its clients to log in.
type login interface {
	// admits reports whether a request is logged in.
	admits(*http.Request) bool
	// challenge answers a request that is not, with the body that the registry
	// has for that.
	challenge(w http.ResponseWriter, req *http.Request, body refusal)
	// serves reports whether a request is to the token server.
	serves(*http.Request) bool
	// token answers a request to the token server.
	token(http.ResponseWriter, *http.Request)
}

// noLogin admits everybody.
type noLogin struct{}

func (noLogin) admits(*http.Request) bool                             { return true }
func (noLogin) challenge(http.ResponseWriter, *http.Request, refusal) {}
func (noLogin) serves(*http.Request) bool                             { return false }
func (noLogin) token(w http.ResponseWriter, req *http.Request)        { http.NotFound(w, req) }

// basicLogin admits one username and password.
type basicLogin struct {
	username, password string
	header             string // WWW-Authenticate; a Basic challenge of these tests where empty
	body               string // of the answer to a request that is not logged in, as plain text; empty for the registry's
}

// withBasic makes a registry want the password of an account, and challenge
// with a header.
func withBasic(account authn.AuthConfig, header string) Option {
	return func(r *Registry) {
		r.login = &basicLogin{username: account.Username, password: account.Password, header: header}
	}
}

func (l *basicLogin) admits(req *http.Request) bool {
	username, password, _ := req.BasicAuth()
	return username == l.username && password == l.password
}

func (l *basicLogin) challenge(w http.ResponseWriter, _ *http.Request, body refusal) {
	w.Header().Set("WWW-Authenticate", cmp.Or(l.header, `Basic realm="registrytest"`))
	if l.body != "" {
		http.Error(w, l.body, http.StatusUnauthorized)
		return
	}
	body.write(w)
}

func (l *basicLogin) serves(*http.Request) bool { return false }

func (l *basicLogin) token(w http.ResponseWriter, req *http.Request) { http.NotFound(w, req) }

// unauthorized answers with status 401, as the distribution specification
// wants it.
func unauthorized(w http.ResponseWriter) {
	refusal{http.StatusUnauthorized, errorBody("UNAUTHORIZED", "authentication required")}.write(w)
}
