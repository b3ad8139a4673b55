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

// tokenLogin admits the tokens that its token server issued.
//
// Source: https://distribution.github.io/distribution/spec/auth/token/
type tokenLogin struct {
	realm     string // URL of the token server; empty for /token of the host that is asked
	service   string
	life      time.Duration      // of a token
	accounts  []authn.AuthConfig // credentials that the token server takes; empty for any
	anonymous bool               // it issues tokens without credentials too
	unbound   bool               // its tokens admit to everything, and it checks no service
	open      []string           // methods with which public repositories can be read without a token
	invalid   *refusal           // answer to a token that is not valid; nil is the challenge
	noPost    *refusal           // answer to a POST; nil where identity tokens are taken
	pingScope string             // scope in the challenge of a ping
	errors    bool               // the challenge explains why a token was refused
	basic     bool               // the registry takes the accounts' passwords itself too
	lenient   bool               // wrong credentials count as none
	// rechallenge is the challenge to who sent credentials that were refused.
	// Empty is the same as to who sent none.
	rechallenge string
	suffix      string // ends every token, so that a test can find it where it must not be
	// fields returns the answer with a token. nil is token, access_token and
	// expires_in.
	fields func(token string, life time.Duration) map[string]any
	// refuse returns the answer to a request that gets no token. nil issues a
	// token for the scopes that were granted, which may be none.
	refuse func(tokenRequest) *refusal
	// wrong is the answer to wrong or missing credentials. nil is a plain 401.
	wrong *refusal

	registry *Registry // whose repositories the tokens are for
	mu       sync.Mutex
	issued   map[string]grant
}

// grant is what a token is good for.
type grant struct {
	repositories []string // that it may pull from
	expires      time.Time
}

// tokenRequest is a request to a token server with right credentials or none.
type tokenRequest struct {
	anonymous bool
	scopes    []string // such as "repository:library/nginx:pull"
	granted   []string // repositories of these that may be pulled from
}

// withTokens makes a registry want tokens.
func withTokens(l *tokenLogin) Option {
	return func(r *Registry) { r.login = l }
}

func (l *tokenLogin) admits(req *http.Request) bool {
	if username, password, ok := req.BasicAuth(); ok {
		return l.basic && l.knows(username, password)
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

// grant returns what a token is good for, and whether it is valid.
func (l *tokenLogin) grant(token string) (grant, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, found := l.issued[token]
	return g, found && time.Now().Before(g.expires)
}

// hasIssued reports whether the token server issued a token, valid or not.
func (l *tokenLogin) hasIssued(token string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, found := l.issued[token]
	return found
}

func (l *tokenLogin) challenge(w http.ResponseWriter, req *http.Request, body refusal) {
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

// tokenError returns why the value of a header Authorization was refused.
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
	if req.Method == http.MethodPost && l.noPost != nil {
		l.noPost.write(w)
		return
	}
	asked, ok := l.authenticate(req)
	switch {
	case !ok && l.wrong != nil:
		l.wrong.write(w)
		return
	case !ok:
		unauthorized(w)
		return
	case !l.unbound && l.service != "" && req.FormValue("service") != l.service: // a check of these tests: products differ
		refusal{http.StatusBadRequest, errorBody("UNSUPPORTED", "unknown service")}.write(w)
		return
	}
	asked.scopes = scopesOf(req)
	asked.granted = l.grantable(asked)
	if l.refuse != nil {
		if refused := l.refuse(asked); refused != nil {
			refused.write(w)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(l.issue(asked.granted))
}

// authenticate returns the request of a client with right credentials, or with
// none where the token server wants none.
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
	known := l.knows(username, password)
	if identity != "" {
		known = slices.ContainsFunc(l.accounts, func(a authn.AuthConfig) bool { return a.IdentityToken == identity })
	}
	return tokenRequest{anonymous: !known}, known || l.lenient || len(l.accounts) == 0
}

// knows reports whether a username and a password are those of an account.
func (l *tokenLogin) knows(username, password string) bool {
	return slices.ContainsFunc(l.accounts, func(a authn.AuthConfig) bool {
		return a.Password != "" && a.Username == username && a.Password == password
	})
}

// scopesOf returns the scopes of a request to a token server: one parameter for
// each, or all in one with blanks between them.
func scopesOf(req *http.Request) []string {
	_ = req.ParseForm() // what can't be parsed names no scope
	return strings.Fields(strings.Join(req.Form["scope"], " "))
}

// grantable returns the repositories among the scopes that the client may pull
// from.
func (l *tokenLogin) grantable(asked tokenRequest) []string {
	var repos []string
	for _, scope := range asked.scopes {
		rest, isRepository := strings.CutPrefix(scope, "repository:")
		repo, actions, found := strings.Cut(rest, ":")
		pulls := slices.Contains(strings.Split(actions, ","), "pull")
		if isRepository && found && pulls && !l.unbound && l.registry.mayPull(repo, asked.anonymous) {
			repos = append(repos, repo)
		}
	}
	return repos
}

// issue returns the answer with a new token.
func (l *tokenLogin) issue(repositories []string) map[string]any {
	token := "t0ken-" + rand.Text() + l.suffix
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.issued == nil {
		l.issued = map[string]grant{}
	}
	l.issued[token] = grant{repositories: repositories, expires: time.Now().Add(l.life)}
	if l.fields != nil {
		return l.fields(token, l.life)
	}
	return map[string]any{"token": token, "access_token": token, "expires_in": int(l.life.Seconds())}
}

// ExpireTokens makes all tokens invalid that were issued so far.
func (r *Registry) ExpireTokens() {
	if l, ok := r.login.(*tokenLogin); ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		for token := range l.issued {
			l.issued[token] = grant{}
		}
	}
}

// onlyToken is an answer with a token in the one field that all clients read.
func onlyToken(token string, _ time.Duration) map[string]any { return map[string]any{"token": token} }

// refuseMore is the rule of token servers that refuse a request which names any
// scope, or an action besides pull, beyond what they grant, where others grant less.
func refuseMore(refused refusal) func(tokenRequest) *refusal {
	return func(asked tokenRequest) *refusal {
		more := func(scope string) bool { return !strings.HasSuffix(scope, ":pull") }
		if len(asked.granted) < len(asked.scopes) || slices.ContainsFunc(asked.scopes, more) {
			return &refused
		}
		return nil
	}
}
