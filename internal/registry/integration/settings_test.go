// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"cmp"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	. "github.com/onsi/gomega"
	"golang.org/x/crypto/bcrypt"

	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// files writes a certificate and its key to files, and returns their paths.
func files(t *testing.T, c registrytest.Certificate) (string, string) {
	t.Helper()
	return file(t, "cert.pem", c.PEM()), file(t, "key.pem", c.KeyPEM(t))
}

func file(t *testing.T, base string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), base)
	NewWithT(t).Expect(os.WriteFile(path, content, 0o600)).To(Succeed())
	return path
}

// The credentials of all registries of the tests.
const (
	username = "user"
	password = "canary-5ecret" // no error may contain it
)

// htpasswd returns the settings of a registry that requires the default username and password.
func htpasswd(t *testing.T) string {
	t.Helper()
	return htpasswdOf(t, "r", username, password)
}

// htpasswdOf returns the settings of a registry that requires a username and password.
func htpasswdOf(t *testing.T, realm, username, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return fmt.Sprintf("auth: {htpasswd: {realm: %q, path: %q}}", realm, file(t, "htpasswd", []byte(username+":"+string(hash)+"\n")))
}

// certificates returns the settings of a registry with a certificate of an authority. If mutual is
// true, it requires a client certificate of the same authority.
func certificates(t *testing.T, authority registrytest.Certificate, mutual bool, names ...string) string {
	t.Helper()
	certificate, key := files(t, authority.Server(t, names...))
	s := fmt.Sprintf("certificate: %q, key: %q", certificate, key)
	if mutual {
		ca, _ := files(t, authority)
		s += fmt.Sprintf(", clientcas: [%q]", ca)
	}
	return s
}

// tokenServer issues tokens for the username and password.
type tokenServer struct {
	signer registrytest.Certificate
	url    string
}

// newTokenServer starts a token server, over TLS if an authority is given.
func newTokenServer(t *testing.T, authorities ...registrytest.Certificate) *tokenServer {
	t.Helper()
	s := &tokenServer{signer: registrytest.NewAuthority(t)}
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if len(authorities) > 0 {
		server.TLS = &tls.Config{Certificates: []tls.Certificate{authorities[0].Server(t).TLS()}}
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// ServeHTTP implements http.Handler.
func (s *tokenServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if user, secret, ok := req.BasicAuth(); !ok || user != username || secret != password {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	token, err := sign(s.signer, service, req.URL.Query()["scope"])
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": 300})
}

// settings returns the settings of a registry that accepts the tokens.
func (s *tokenServer) settings(t *testing.T) string {
	t.Helper()
	bundle, _ := files(t, s.signer)
	return fmt.Sprintf("auth: {token: {realm: %q, service: %s, issuer: tests, rootcertbundle: %q}}", s.url+"/token", service, bundle)
}

// bearer sends a token for all access with each request, because the library that pushes images
// doesn't request one on loopback.
type bearer struct {
	server  *tokenServer
	inner   http.RoundTripper
	service string // empty for the constant service
}

// RoundTrip implements http.RoundTripper.
func (b *bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := sign(b.server.signer, cmp.Or(b.service, service), []string{"repository:team/app:pull,push"})
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+token)
	return b.inner.RoundTrip(req)
}

// service is the service of tokens.
const service = "registry"

// sign returns a token for scopes of a service, as in the token specification.
func sign(signer registrytest.Certificate, service string, scopes []string) (string, error) {
	type access struct {
		Type    string   `json:"type"`
		Name    string   `json:"name"`
		Actions []string `json:"actions"`
	}
	granted := []access{}
	for _, scope := range strings.Fields(strings.Join(scopes, " ")) {
		if parts := strings.Split(scope, ":"); len(parts) == 3 {
			granted = append(granted, access{Type: parts[0], Name: parts[1], Actions: strings.Split(parts[2], ",")})
		}
	}
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": "tests", "sub": username, "aud": service, "jti": rand.Text(), "access": granted,
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	})
	token.Header["x5c"] = []string{base64.StdEncoding.EncodeToString(signer.Raw)}
	return token.SignedString(signer.Key)
}
