// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// The places where a server may name another host.
const (
	pingRedirect = iota
	tagsRedirect
	tagsLink
	pingRealm
	tagsRealm
	tokenRedirect
	placeCount
)

// fakeNetwork is a network in which the registry or its token server names another host. It
// records which hosts receive a secret.
type fakeNetwork struct {
	place      int
	target     string
	challenges bool // unknown hosts require credentials
	received   []*url.URL
}

// The hosts of that network and the token that its token server issues.
const (
	trustedRegistry = "registry-k.example.com"
	trustedAuth     = "auth.example.com"
	trustedToken    = "t0ken-" + canary
)

// RoundTrip implements http.RoundTripper without any network.
func (n *fakeNetwork) RoundTrip(req *http.Request) (*http.Response, error) {
	text := fmt.Sprint(req.Header, " ", req.URL)
	for _, value := range req.Header["Authorization"] {
		decoded, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(value, "Basic "))
		text += string(decoded)
	}
	if req.Body != nil {
		body, _ := io.ReadAll(req.Body)
		text += string(body)
	}
	if strings.Contains(text, canary) {
		n.received = append(n.received, req.URL)
	}
	code, header, body := n.respond(req)
	return &http.Response{
		StatusCode: code, Header: header, Request: req, ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}, nil
}

// respond returns the response of a fake host.
func (n *fakeNetwork) respond(req *http.Request) (int, http.Header, string) {
	switch {
	case isHost(req.URL, trustedRegistry) && req.URL.Path == "/v2/":
		return n.respondPing()
	case isHost(req.URL, trustedRegistry):
		return n.respondTags(req)
	case isHost(req.URL, trustedAuth) && n.place == tokenRedirect && req.URL.Path == "/token":
		return 302, http.Header{"Location": {n.target}}, ""
	case isHost(req.URL, "thief.example.net"):
		return 200, http.Header{}, `{"token":"thief"}`
	case !isHost(req.URL, trustedAuth) && n.challenges && req.Header.Get("Authorization") == "":
		code, header, body := realm("https://thief.example.net/token")
		header.Set("Www-Authenticate", header.Get("Www-Authenticate")+`,scope="repository:app:pull"`)
		return code, header, body
	}
	return 200, http.Header{}, tagsAndToken
}

// tagsAndToken is a page of tags and a token.
const tagsAndToken = `{"name":"app","tags":["1.0.0"],"token":"` + trustedToken + `"}`

// realm returns a challenge with a realm.
func realm(address string) (int, http.Header, string) {
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(address)
	return 401, http.Header{"Www-Authenticate": {`Bearer realm="` + quoted + `"`}}, ""
}

func (n *fakeNetwork) respondPing() (int, http.Header, string) {
	switch n.place {
	case pingRedirect:
		return 307, http.Header{"Location": {n.target}}, ""
	case pingRealm:
		return realm(n.target)
	}
	return realm("https://" + trustedAuth + "/token")
}

func (n *fakeNetwork) respondTags(req *http.Request) (int, http.Header, string) {
	switch {
	case n.place == tagsRealm:
		return realm(n.target)
	case req.Header.Get("Authorization") == "":
		return realm("https://" + trustedAuth + "/token")
	case n.place == tagsRedirect:
		return 307, http.Header{"Location": {n.target}}, ""
	case n.place == tagsLink && req.URL.Query().Get("n") == "1000":
		return 200, http.Header{"Link": {"<" + n.target + `>; rel="next"`}}, tagsAndToken
	}
	return 200, http.Header{}, tagsAndToken
}

// mayReceive reports whether a URL may receive a secret: those of the registry, its token server,
// and the one that the registry itself names.
func (n *fakeNetwork) mayReceive(u *url.URL) bool {
	if u.Scheme != "https" {
		return false
	}
	named, err := url.Parse(n.target)
	namedByRegistry := n.place == pingRealm || n.place == tagsRealm
	if namedByRegistry && err == nil && u.Host == named.Host && named.Scheme == "https" && named.User == nil && isPublic(u) {
		return true
	}
	return isHost(u, trustedRegistry) || isHost(u, trustedAuth)
}

// isPublic reports whether the host of a URL, by its name, is not in a private network.
func isPublic(u *url.URL) bool {
	name := strings.ToLower(u.Hostname())
	if name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return false
	}
	ip := net.ParseIP(name)
	return ip == nil || !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast() && !ip.IsUnspecified()
}

// isHost reports whether a URL is on a host. It ignores case and the port 443.
func isHost(u *url.URL, host string) bool {
	name := strings.TrimSuffix(u.Host, ":443")
	return len(name) == len(host) && strings.EqualFold(name, host)
}

// hostileHosts are hosts that look like trusted hosts or are in private networks.
var hostileHosts = []string{
	trustedRegistry, trustedAuth, strings.ToUpper(trustedRegistry), trustedRegistry + ":443", trustedRegistry + ":444", trustedRegistry + ":80", trustedRegistry + ".",
	trustedRegistry + ".evil.example", "evil-" + trustedRegistry, "evil" + trustedRegistry, "evil.example/" + trustedRegistry, "evil.example#" + trustedRegistry,
	"evil.example?" + trustedRegistry, trustedRegistry + "@evil.example", trustedRegistry + ":443@evil.example", "evil.example@" + trustedRegistry,
	"evil.example\\@" + trustedRegistry, trustedRegistry + "%2eevil.example", trustedRegistry + "\u3002evil.example", "registry-\u212a.example.com",
	"registry-k.ex\u0430mple.com", "\uff52egistry-k.example.com", "registry-k.example", "example.com", "sub." + trustedRegistry, "sub." + trustedAuth,
	"[::1]", "127.0.0.1", "169.254.169.254", "10.0.0.1", "[fe80::1]", "0.0.0.0", "2130706433", "", ":", ":443", "localhost", "LOCALHOST:443", "a.localhost",
}

// TestSecrets_AreNotSentToOtherHosts tests that secrets are not sent to hosts that the registry,
// its token server or another host names, except to trusted ones.
func TestSecrets_AreNotSentToOtherHosts(t *testing.T) {
	for place := range placeCount {
		for _, host := range hostileHosts {
			for _, scheme := range []string{"https://", "http://", "//", "HTTPS://", "https:/", "https:"} {
				checkSecrets(t, place, scheme+host+"/v2/", true)
				checkSecrets(t, place, scheme+host+"/v2/", false)
			}
		}
	}
}

// FuzzSecrets is TestSecrets_AreNotSentToOtherHosts with arbitrary redirect targets.
func FuzzSecrets(f *testing.F) {
	for i, host := range hostileHosts {
		f.Add(i, "https://"+host+"/v2/", i%2 == 0)
	}
	f.Fuzz(checkSecrets)
}

// checkSecrets checks which hosts receive secrets if a server in a place names a target.
func checkSecrets(t *testing.T, place int, target string, challenges bool) {
	n := &fakeNetwork{place: ((place % placeCount) + placeCount) % placeCount, target: target, challenges: challenges}
	c := &testClient{NewClient(WithRateLimits(ratelimit.Config{}))}
	c.base = func(transport.Config) http.RoundTripper { return n }
	img := parse(t, trustedRegistry+"/app")
	_, err := c.ListTags(t.Context(), img, login(img))
	for _, u := range n.received {
		NewWithT(t).Expect(n.mayReceive(u)).To(BeTrue(), "%q in place %d: a secret was sent to %s", target, n.place, u)
	}
	if err != nil && (strings.Contains(err.Error(), canary) || strings.Contains(fmt.Sprintf("%+v", err), canary)) {
		t.Errorf("the error contains a secret: %v", err)
	}
	if len(n.received) == 0 && n.place != pingRealm && n.place != pingRedirect {
		t.Errorf("%q in place %d: no secret was sent, so this tests nothing: %v", target, n.place, err)
	}
}
