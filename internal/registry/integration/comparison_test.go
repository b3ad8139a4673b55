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

// side is a server of a comparison.
type side struct {
	client *http.Client
	url    string
	// header returns the header Authorization of a login for the repository of
	// a request.
	header func(login int, repository string) string
}

// answer is what of an answer is compared.
type answer struct {
	Status int
	Header map[string]string
	Body   any
}

// compared are the headers that clients go by.
var compared = []string{"WWW-Authenticate", "Link", "Docker-Content-Digest", "Content-Type", "Docker-Distribution-Api-Version"}

func (s *side) answer(t *testing.T, p probe) answer {
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
		return answer{Body: "no answer"}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	g.Expect(err).NotTo(HaveOccurred())
	a := answer{Status: resp.StatusCode, Header: map[string]string{}, Body: shape(body)}
	for _, name := range compared {
		a.Header[name] = resp.Header.Get(name)
	}
	return a
}

// repositoryOf returns the repository in the path of a request.
func repositoryOf(path string) string {
	elements := strings.Split(path, "/")
	return strings.Join(elements[:max(0, len(elements)-2)], "/")
}

// shape returns a body as it is, but of errors their codes and their fields.
func shape(body []byte) any {
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

// product returns a product with its imitation, which has the images.
func product(t *testing.T, wanted string, images map[string]v1.Image) (registrytest.Product, *side) {
	t.Helper()
	products := registrytest.Products()
	i := slices.IndexFunc(products, func(p registrytest.Product) bool { return p.Name == wanted })
	NewWithT(t).Expect(i).To(BeNumerically(">=", 0), "there is no %s", wanted)
	p, z := products[i], registrytest.StartZoo(t)
	for tag, image := range images {
		z.Registry(p.Host).PushImage(t, "team/app", tag, image)
	}
	z.Registry(p.Host).PushImage(t, "team/other", "1.2.0", images["1.2.0"])
	transport := &http.Transport{DialContext: z.Dial, TLSClientConfig: &tls.Config{RootCAs: z.CertPool(), MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return p, &side{client: &http.Client{Transport: transport}, url: "https://" + p.Host}
}

// distribution2Pair returns the two sides with a password.
func distribution2Pair(t *testing.T, images map[string]v1.Image) (*side, *side) {
	t.Helper()
	p, imitation := product(t, "Distribution 2", images)
	account := remote.WithAuth(authn.FromConfig(p.Password))
	r := startRegistry(t, settings{
		program: registryV2Variable,
		auth:    htpasswdOf(t, "Registry Realm", p.Password.Username, p.Password.Password),
	}, account)
	imitation.header = func(login int, _ string) string {
		req := &http.Request{Header: http.Header{}}
		switch login {
		case right, elsewhere:
			req.SetBasicAuth(p.Password.Username, p.Password.Password)
		case wrong:
			req.SetBasicAuth(p.Password.Username, "wrong")
		}
		return req.Header.Get("Authorization")
	}
	return genuineSide(t, r.addr, images, imitation.header, account), imitation
}

// distribution3Pair returns the two sides with tokens, each with its own.
func distribution3Pair(t *testing.T, images map[string]v1.Image) (*side, *side) {
	t.Helper()
	p, imitation := product(t, "Distribution 3", images)
	signer := registrytest.NewAuthority(t)
	bundle, _ := files(t, signer)
	push := remote.WithTransport(&bearer{server: &tokenServer{signer: signer}, service: p.Host, inner: http.DefaultTransport})
	realm := "https://auth." + p.Host + "/token"
	r := startRegistry(t, settings{
		auth: fmt.Sprintf("auth: {token: {realm: %q, service: %q, issuer: tests, rootcertbundle: %q}}", realm, p.Host, bundle),
	}, push)
	imitation.header = tokens(func(scope string) (string, error) {
		return imitation.token(t, realm, p, scope)
	})
	return genuineSide(t, r.addr, images, tokens(func(scope string) (string, error) {
		return sign(signer, p.Host, []string{scope})
	}), push), imitation
}

// tokens returns the header Authorization with tokens of a source.
func tokens(source func(scope string) (string, error)) func(int, string) string {
	return func(login int, repository string) string {
		token, err := "wrong", error(nil)
		switch login {
		case none:
			return ""
		case right:
			token, err = source("repository:" + cmp.Or(repository, "team/app") + ":pull")
		case elsewhere:
			token, err = source("repository:team/other:pull")
		}
		return "Bearer " + cmp.Or(token, fmt.Sprint(err))
	}
}

// token returns a token of an imitation's token server.
func (s *side) token(t *testing.T, realm string, p registrytest.Product, scope string) (string, error) {
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

// genuineSide returns the side of a server, to which it pushes the images.
func genuineSide(t *testing.T, addr string, images map[string]v1.Image, header func(int, string) string, push ...remote.Option) *side {
	t.Helper()
	g := NewWithT(t)
	for tag, image := range images {
		ref, err := name.NewTag(addr+"/team/app:"+tag, name.Insecure)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(remote.Write(ref, image, append(push, remote.WithContext(t.Context()))...)).To(Succeed(), "push %s", ref)
	}
	return &side{client: http.DefaultClient, url: "http://" + addr, header: header}
}
