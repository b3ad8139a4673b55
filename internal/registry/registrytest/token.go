// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// tokenLogin accepts the tokens that its token server issued.
//
// Source: https://distribution.github.io/distribution/spec/auth/token/
type tokenLogin struct {
	realm        string // URL of the token server; empty for /token on the requested host
	service      string
	lifetime     time.Duration      // of a token
	accounts     []authn.AuthConfig // credentials that the token server accepts; empty for any
	anonymous    bool               // tokens are issued without credentials too
	unbound      bool               // tokens are valid for all repositories, and the service isn't checked
	open         []string           // methods that read public repositories without a token
	invalid      *errorResponse     // response to an invalid token; nil sends the challenge
	postResponse *errorResponse     // response to a POST; nil if identity tokens are accepted
	pingScope    string             // scope in the challenge to a ping
	errors       bool               // the challenge explains why a token was rejected
	basic        bool               // the registry accepts passwords directly too
	lenient      bool               // wrong credentials are treated as anonymous
	// rechallenge is the challenge to a request with rejected credentials. Empty sends the same
	// challenge as to a request without credentials.
	rechallenge string
	suffix      string // appended to every token, so that tests can detect leaks
	// fields returns the response with a token. nil sends token, access_token and expires_in.
	fields func(token string, lifetime time.Duration) map[string]any
	// reject returns the response to a request that gets no token. nil issues a token for the
	// granted scopes, which may be none.
	reject func(tokenRequest) *errorResponse
	// wrong is the response to wrong or missing credentials. nil sends a plain 401.
	wrong *errorResponse

	registry *Registry // with the repositories that the tokens grant access to
	mu       sync.Mutex
	issued   map[string]grant
}

// grant describes what a token is valid for.
type grant struct {
	repositories []string // with pull access
	expires      time.Time
}

// tokenRequest is a request to a token server with valid credentials or none.
type tokenRequest struct {
	anonymous bool
	scopes    []string // such as "repository:library/nginx:pull"
	granted   []string // repositories of these with pull access
}

// withTokens makes a registry require tokens.
func withTokens(l *tokenLogin) Option {
	return func(r *Registry) { r.login = l }
}

func (l *tokenLogin) authenticated(req *http.Request) bool {
	if username, password, ok := req.BasicAuth(); ok {
		return l.basic && l.hasAccount(username, password)
	}
	token, found := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	g, valid := l.grant(token)
	repo := repositoryOf(req)
	reads := req.Method == http.MethodGet || req.Method == http.MethodHead
	if !found && repo != "" && slices.Contains(l.open, req.Method) {
		return l.registry.mayPull(repo, true)
	}
	if !found || !valid {
		return false
	}
	return l.unbound || repo == "" || reads && slices.Contains(g.repositories, repo)
}

// grant returns the grant of a token, and whether the token is valid.
func (l *tokenLogin) grant(token string) (grant, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, found := l.issued[token]
	return g, found && time.Now().Before(g.expires)
}

// hasIssued reports whether the token server issued a token, which may have expired.
func (l *tokenLogin) hasIssued(token string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, found := l.issued[token]
	return found
}

func (l *tokenLogin) challenge(w http.ResponseWriter, req *http.Request, body errorResponse) {
	token := req.Header.Get("Authorization")
	switch {
	case token != "" && l.invalid != nil:
		l.invalid.write(w)
		return
	case token != "" && l.rechallenge != "":
		w.Header().Set("WWW-Authenticate", l.rechallenge)
		body.write(w)
		return
	}
	challenge := fmt.Sprintf("Bearer realm=%q", l.realmFor(req))
	if l.service != "" {
		challenge += fmt.Sprintf(",service=%q", l.service)
	}
	scope := l.pingScope
	if repo := repositoryOf(req); repo != "" && !l.unbound {
		scope = "repository:" + repo + ":pull"
	}
	if scope != "" {
		challenge += fmt.Sprintf(",scope=%q", scope)
	}
	if l.errors && token != "" {
		challenge += fmt.Sprintf(",error=%q", l.tokenError(token))
	}
	w.Header().Set("WWW-Authenticate", challenge)
	body.write(w)
}

// tokenError returns why the value of an Authorization header was rejected.
//
// Source: https://www.rfc-editor.org/rfc/rfc6750#section-3.1
func (l *tokenLogin) tokenError(header string) string {
	if _, valid := l.grant(strings.TrimPrefix(header, "Bearer ")); valid {
		return "insufficient_scope"
	}
	return "invalid_token"
}

// realmFor returns the URL of the token server for a client.
func (l *tokenLogin) realmFor(req *http.Request) string {
	scheme := "http"
	if req.TLS != nil {
		scheme = "https"
	}
	return cmp.Or(l.realm, scheme+"://"+req.Host+"/token")
}

func (l *tokenLogin) serves(req *http.Request) bool {
	realm, err := url.Parse(l.realmFor(req))
	return err == nil && req.Host == realm.Host && req.URL.Path == realm.Path
}

func (l *tokenLogin) token(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodPost && l.postResponse != nil {
		l.postResponse.write(w)
		return
	}
	request, ok := l.authenticate(req)
	switch {
	case !ok && l.wrong != nil:
		l.wrong.write(w)
		return
	case !ok:
		unauthorized(w)
		return
	case !l.unbound && l.service != "" && req.FormValue("service") != l.service: // stricter than some products
		errorResponse{http.StatusBadRequest, errorBody("UNSUPPORTED", "unknown service")}.write(w)
		return
	}
	request.scopes = scopesOf(req)
	request.granted = l.grantable(request)
	if l.reject != nil {
		if response := l.reject(request); response != nil {
			response.write(w)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(l.issue(request.granted))
}

// authenticate returns the token request of a client with valid credentials, or without
// credentials if the token server allows it.
func (l *tokenLogin) authenticate(req *http.Request) (tokenRequest, bool) {
	username, password, basic := req.BasicAuth()
	identity := ""
	if req.Method == http.MethodPost {
		username, password = req.PostFormValue("username"), req.PostFormValue("password")
		identity = req.PostFormValue("refresh_token")
		basic = username != "" || identity != ""
	}
	if !basic {
		return tokenRequest{anonymous: true}, l.anonymous
	}
	known := l.hasAccount(username, password)
	if identity != "" {
		known = slices.ContainsFunc(l.accounts, func(a authn.AuthConfig) bool { return a.IdentityToken == identity })
	}
	return tokenRequest{anonymous: !known}, known || l.lenient || len(l.accounts) == 0
}

// hasAccount reports whether an account has this username and password.
func (l *tokenLogin) hasAccount(username, password string) bool {
	return slices.ContainsFunc(l.accounts, func(a authn.AuthConfig) bool {
		return a.Password != "" && a.Username == username && a.Password == password
	})
}

// scopesOf returns the scopes of a token request: one parameter for each, or one parameter with
// spaces in between.
func scopesOf(req *http.Request) []string {
	_ = req.ParseForm() // a form that can't be parsed has no scopes
	return strings.Fields(strings.Join(req.Form["scope"], " "))
}

// grantable returns the repositories of the scopes that the client may pull from.
func (l *tokenLogin) grantable(request tokenRequest) []string {
	var repos []string
	for _, scope := range request.scopes {
		rest, isRepository := strings.CutPrefix(scope, "repository:")
		repo, actions, found := strings.Cut(rest, ":")
		pulls := slices.Contains(strings.Split(actions, ","), "pull")
		if isRepository && found && pulls && !l.unbound && l.registry.mayPull(repo, request.anonymous) {
			repos = append(repos, repo)
		}
	}
	return repos
}

// issue issues a token and returns the response.
func (l *tokenLogin) issue(repositories []string) map[string]any {
	token := "t0ken-" + rand.Text() + l.suffix
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.issued == nil {
		l.issued = map[string]grant{}
	}
	l.issued[token] = grant{repositories: repositories, expires: time.Now().Add(l.lifetime)}
	if l.fields != nil {
		return l.fields(token, l.lifetime)
	}
	return map[string]any{"token": token, "access_token": token, "expires_in": int(l.lifetime.Seconds())}
}

// ExpireTokens invalidates all issued tokens.
func (r *Registry) ExpireTokens() {
	if l, ok := r.login.(*tokenLogin); ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		for token := range l.issued {
			l.issued[token] = grant{}
		}
	}
}

// onlyToken is a response with the token in the one field that all clients read.
func onlyToken(token string, _ time.Duration) map[string]any { return map[string]any{"token": token} }

// rejectExcess rejects a token request that names a scope that isn't granted, or an action other
// than pull. Other token servers grant the rest.
func rejectExcess(response errorResponse) func(tokenRequest) *errorResponse {
	return func(request tokenRequest) *errorResponse {
		excess := func(scope string) bool { return !strings.HasSuffix(scope, ":pull") }
		if len(request.granted) < len(request.scopes) || slices.ContainsFunc(request.scopes, excess) {
			return &response
		}
		return nil
	}
}
