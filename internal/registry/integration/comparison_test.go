// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// comparedServer is a real registry or a persona.
type comparedServer struct {
	client *http.Client
	url    string
	// header returns the Authorization header of a login for a repository.
	header func(login int, repository string) string
}

// response is the compared part of a response.
type response struct {
	Status int
	Header map[string]string
	Body   any
}

// comparedHeaders are the headers that clients depend on.
var comparedHeaders = []string{"WWW-Authenticate", "Link", "Docker-Content-Digest", "Content-Type", "Docker-Distribution-Api-Version"}

func (s *comparedServer) send(t *testing.T, p probe) response {
	t.Helper()
	g := NewWithT(t)
	req, err := http.NewRequestWithContext(t.Context(), cmp.Or(p.method, http.MethodGet), s.url+"/v2/"+p.path, nil)
	g.Expect(err).NotTo(HaveOccurred())
	if p.accept != "" {
		req.Header.Set("Accept", p.accept)
	}
	if header := s.header(p.login, repositoryOf(p.path)); header != "" {
		req.Header.Set("Authorization", header)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return response{Body: "no response"}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	g.Expect(err).NotTo(HaveOccurred())
	got := response{Status: resp.StatusCode, Header: map[string]string{}, Body: normalizeBody(body)}
	for _, name := range comparedHeaders {
		got.Header[name] = resp.Header.Get(name)
	}
	return got
}

// repositoryOf returns the repository in the path of a request.
func repositoryOf(path string) string {
	elements := strings.Split(path, "/")
	return strings.Join(elements[:max(0, len(elements)-2)], "/")
}

// normalizeBody returns the body, but of errors only their codes and field names.
func normalizeBody(body []byte) any {
	var document struct {
		Errors []map[string]any `json:"errors"`
	}
	if json.Unmarshal(body, &document) != nil || document.Errors == nil {
		return strings.TrimSpace(string(body))
	}
	var errors []string
	for _, e := range document.Errors {
		errors = append(errors, fmt.Sprintf("%v %v", e["code"], slices.Sorted(maps.Keys(e))))
	}
	return errors
}

// startPersona starts the persona of a product and pushes the images to it.
func startPersona(t *testing.T, productName string, images map[string]v1.Image) (registrytest.Product, *comparedServer) {
	t.Helper()
	products := registrytest.Products()
	i := slices.IndexFunc(products, func(p registrytest.Product) bool { return p.Name == productName })
	NewWithT(t).Expect(i).To(BeNumerically(">=", 0), "there is no product %s", productName)
	p, fakes := products[i], registrytest.StartFakeRegistries(t)
	for tag, image := range images {
		fakes.Registry(p.Host).PushImage(t, "team/app", tag, image)
	}
	fakes.Registry(p.Host).PushImage(t, "team/other", "1.2.0", images["1.2.0"])
	transport := &http.Transport{DialContext: fakes.Dial, TLSClientConfig: &tls.Config{RootCAs: fakes.CertPool(), MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return p, &comparedServer{client: &http.Client{Transport: transport}, url: "https://" + p.Host}
}

// distribution2Servers returns the real server and the persona, both with a password.
func distribution2Servers(t *testing.T, images map[string]v1.Image) (*comparedServer, *comparedServer) {
	t.Helper()
	p, persona := startPersona(t, "Distribution 2", images)
	account := remote.WithAuth(authn.FromConfig(p.Password))
	r := startRegistry(t, settings{
		program: registryV2Variable,
		auth:    htpasswdOf(t, "Registry Realm", p.Password.Username, p.Password.Password),
	}, account)
	persona.header = func(login int, _ string) string {
		req := &http.Request{Header: http.Header{}}
		switch login {
		case loginValid, loginOther:
			req.SetBasicAuth(p.Password.Username, p.Password.Password)
		case loginWrong:
			req.SetBasicAuth(p.Password.Username, "wrong")
		}
		return req.Header.Get("Authorization")
	}
	return newRealServer(t, r.addr, images, persona.header, account), persona
}

// distribution3Pair returns the real server and the persona, with a token server each.
func distribution3Pair(t *testing.T, images map[string]v1.Image) (*comparedServer, *comparedServer) {
	t.Helper()
	p, persona := startPersona(t, "Distribution 3", images)
	signer := registrytest.NewAuthority(t)
	bundle, _ := files(t, signer)
	push := remote.WithTransport(&bearer{server: &tokenServer{signer: signer}, service: p.Host, inner: http.DefaultTransport})
	realm := "https://auth." + p.Host + "/token"
	r := startRegistry(t, settings{
		auth: fmt.Sprintf("auth: {token: {realm: %q, service: %q, issuer: tests, rootcertbundle: %q}}", realm, p.Host, bundle),
	}, push)
	persona.header = tokens(func(scope string) (string, error) {
		return persona.token(t, realm, p, scope)
	})
	return newRealServer(t, r.addr, images, tokens(func(scope string) (string, error) {
		return sign(signer, p.Host, []string{scope})
	}), push), persona
}

// tokens returns a function for the Authorization header with tokens of a source.
func tokens(source func(scope string) (string, error)) func(int, string) string {
	return func(login int, repository string) string {
		token, err := "wrong", error(nil)
		switch login {
		case loginNone:
			return ""
		case loginValid:
			token, err = source("repository:" + cmp.Or(repository, "team/app") + ":pull")
		case loginOther:
			token, err = source("repository:team/other:pull")
		}
		return "Bearer " + cmp.Or(token, fmt.Sprint(err))
	}
}

// token requests a token from the token server of a persona.
func (s *comparedServer) token(t *testing.T, realm string, p registrytest.Product, scope string) (string, error) {
	t.Helper()
	query := url.Values{"service": {p.Host}, "scope": {scope}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, realm+"?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	req.SetBasicAuth(p.Password.Username, p.Password.Password)
	resp, err := s.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var issued struct {
		Token string `json:"token"`
	}
	return issued.Token, json.NewDecoder(resp.Body).Decode(&issued)
}

// newRealServer pushes the images to a real registry.
func newRealServer(t *testing.T, addr string, images map[string]v1.Image, header func(int, string) string, push ...remote.Option) *comparedServer {
	t.Helper()
	g := NewWithT(t)
	for tag, image := range images {
		ref, err := name.NewTag(addr+"/team/app:"+tag, name.Insecure)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(remote.Write(ref, image, append(push, remote.WithContext(t.Context()))...)).To(Succeed(), "push %s", ref)
	}
	return &comparedServer{client: http.DefaultClient, url: "http://" + addr, header: header}
}
