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

package registrytest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// tokenPath is the path of the token server.
const tokenPath = "/token"

// login is how a registry wants its clients to log in.
type login interface {
	// admits reports whether a request is logged in.
	admits(*http.Request) bool
	// challenge answers a request that is not.
	challenge(http.ResponseWriter, *http.Request)
	// token answers a request to the token server.
	token(http.ResponseWriter, *http.Request)
}

// noLogin admits everybody.
type noLogin struct{}

func (noLogin) admits(*http.Request) bool                      { return true }
func (noLogin) challenge(http.ResponseWriter, *http.Request)   {}
func (noLogin) token(w http.ResponseWriter, req *http.Request) { http.NotFound(w, req) }

// basicLogin admits one username and password.
type basicLogin struct{ username, password string }

func (l *basicLogin) admits(req *http.Request) bool {
	username, password, _ := req.BasicAuth()
	return username == l.username && password == l.password
}

func (l *basicLogin) challenge(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("WWW-Authenticate", `Basic realm="registrytest"`)
	unauthorized(w)
}

func (l *basicLogin) token(w http.ResponseWriter, req *http.Request) { http.NotFound(w, req) }

// tokenLogin admits the tokens that its token server gave.
type tokenLogin struct {
	username, password string
	life               time.Duration

	mu     sync.Mutex
	issued map[string]time.Time // and when they expire
}

func (l *tokenLogin) admits(req *http.Request) bool {
	token, found := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	l.mu.Lock()
	defer l.mu.Unlock()
	return found && time.Now().Before(l.issued[token])
}

func (l *tokenLogin) challenge(w http.ResponseWriter, req *http.Request) {
	scheme := "http"
	if req.TLS != nil {
		scheme = "https"
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s://%s%s",service="registrytest"`, scheme, req.Host, tokenPath))
	unauthorized(w)
}

func (l *tokenLogin) token(w http.ResponseWriter, req *http.Request) {
	if !l.knows(req) {
		unauthorized(w)
		return
	}
	token := "t0ken-" + rand.Text() + l.password // as secret, and as easy to find
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.issued == nil {
		l.issued = map[string]time.Time{}
	}
	l.issued[token] = time.Now().Add(l.life)
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "access_token": token, "expires_in": int(l.life.Seconds())})
}

// knows reports whether a request to the token server has the right password,
// in one of the two ways of the token protocol.
func (l *tokenLogin) knows(req *http.Request) bool {
	if l.username == "" {
		return true
	}
	if req.Method == http.MethodPost {
		return req.PostFormValue("refresh_token") == l.password
	}
	username, password, _ := req.BasicAuth()
	return username == l.username && password == l.password
}

// ExpireTokens makes all tokens invalid that were given so far.
func (r *Registry) ExpireTokens() {
	if l, ok := r.login.(*tokenLogin); ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.issued = nil
	}
}

// unauthorized answers with status 401, as the distribution specification
// wants it.
func unauthorized(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write([]byte(`{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`))
}
