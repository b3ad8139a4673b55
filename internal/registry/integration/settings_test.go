// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/bcrypt"
)

// issued is a certificate with its key.
type issued struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// newAuthority returns the certificate of an authority.
func newAuthority(t *testing.T) issued {
	t.Helper()
	return issued{}.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	})
}

// server returns a certificate for a server on loopback, or of a name.
func (i issued) server(t *testing.T, names ...string) issued {
	t.Helper()
	return i.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "server"}, DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

// client returns a certificate for a client.
func (i issued) client(t *testing.T) issued {
	t.Helper()
	return i.issue(t, &x509.Certificate{
		Subject:  pkix.Name{CommonName: "client"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// issue signs a certificate: with its own key where nobody else is there.
func (i issued) issue(t *testing.T, template *x509.Certificate) issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := i.certificate, i.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return issued{certificate: certificate, key: key}
}

// pem returns the certificate, and the key, in PEM form.
func (i issued) pem(t *testing.T) ([]byte, []byte) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.certificate.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
}

// files writes both into files, and returns their names.
func (i issued) files(t *testing.T) (string, string) {
	t.Helper()
	certificate, key := i.pem(t)
	return file(t, "cert.pem", certificate), file(t, "key.pem", key)
}

func (i issued) tls() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{i.certificate.Raw}, PrivateKey: i.key}
}

func (i issued) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.certificate)
	return pool
}

func file(t *testing.T, base string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), base)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The credentials that all registries of the tests know.
const (
	username = "user"
	password = "canary-5ecret" // must be in no error
)

// htpasswd returns the settings of a registry that wants the password.
func htpasswd(t *testing.T) string {
	t.Helper()
	return htpasswdOf(t, "r", username, password)
}

// htpasswdOf returns the settings of a registry that wants a password.
func htpasswdOf(t *testing.T, realm, username, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("auth: {htpasswd: {realm: %q, path: %q}}", realm, file(t, "htpasswd", []byte(username+":"+string(hash)+"\n")))
}

// certificates returns the settings of a registry with a certificate of an
// authority, and one that wants a client certificate of it too.
func certificates(t *testing.T, authority issued, mutual bool, names ...string) string {
	t.Helper()
	certificate, key := authority.server(t, names...).files(t)
	s := fmt.Sprintf("certificate: %q, key: %q", certificate, key)
	if mutual {
		ca, _ := authority.files(t)
		s += fmt.Sprintf(", clientcas: [%q]", ca)
	}
	return s
}

// tokenServer gives tokens to those who know the password.
type tokenServer struct {
	signer issued
	url    string
}

// newTokenServer starts a token server, with a certificate of an authority
// where there is one.
func newTokenServer(t *testing.T, authorities ...issued) *tokenServer {
	t.Helper()
	s := &tokenServer{signer: newAuthority(t)}
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if len(authorities) > 0 {
		server.TLS = &tls.Config{Certificates: []tls.Certificate{authorities[0].server(t).tls()}}
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

// settings returns the settings of a registry that takes the tokens.
func (s *tokenServer) settings(t *testing.T) string {
	t.Helper()
	bundle, _ := s.signer.files(t)
	return fmt.Sprintf("auth: {token: {realm: %q, service: %s, issuer: tests, rootcertbundle: %q}}", s.url+"/token", service, bundle)
}

// bearer sends a token for everything with each request, because the library
// that pushes images asks for none on loopback.
type bearer struct {
	server  *tokenServer
	inner   http.RoundTripper
	service string // empty for the constant
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

// service is what tokens are for.
const service = "registry"

// sign returns a token for some scopes of a service, as the specification has it.
func sign(signer issued, service string, scopes []string) (string, error) {
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
	token.Header["x5c"] = []string{base64.StdEncoding.EncodeToString(signer.certificate.Raw)}
	return token.SignedString(signer.key)
}
