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

// lures are the places in which somebody may name a host.
const (
	pingRedirect = iota
	tagsRedirect
	tagsLink
	pingRealm
	tagsRealm
	tokenRedirect
	lureCount
)

// lure is a network in which a registry, or its token server, points somewhere.
// It notes who was shown a secret.
type lure struct {
	place  int
	target string
	tempts bool // hosts that nobody knows ask for credentials
	shown  []*url.URL
}

// What everybody in that network is called, and what they keep secret.
const (
	lureRegistry = "registry-k.example.com"
	lureAuth     = "auth.example.com"
	lureToken    = "t0ken-" + canary
)

// RoundTrip implements http.RoundTripper. Nothing goes over any network.
func (l *lure) RoundTrip(req *http.Request) (*http.Response, error) {
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
		l.shown = append(l.shown, req.URL)
	}
	code, header, body := l.answer(req)
	return &http.Response{
		StatusCode: code, Header: header, Request: req, ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}, nil
}

// answer is what somebody answers.
func (l *lure) answer(req *http.Request) (int, http.Header, string) {
	switch {
	case isHost(req.URL, lureRegistry) && req.URL.Path == "/v2/":
		return l.answerPing()
	case isHost(req.URL, lureRegistry):
		return l.answerTags(req)
	case isHost(req.URL, lureAuth) && l.place == tokenRedirect && req.URL.Path == "/token":
		return 302, http.Header{"Location": {l.target}}, ""
	case isHost(req.URL, "thief.example.net"):
		return 200, http.Header{}, `{"token":"of-the-thief"}`
	case !isHost(req.URL, lureAuth) && l.tempts && req.Header.Get("Authorization") == "":
		code, header, body := realm("https://thief.example.net/token")
		header.Set("Www-Authenticate", header.Get("Www-Authenticate")+`,scope="repository:app:pull"`)
		return code, header, body
	}
	return 200, http.Header{}, lureAnswer
}

// lureAnswer is a page of tags, and a token.
const lureAnswer = `{"name":"app","tags":["1.0.0"],"token":"` + lureToken + `"}`

// realm asks for a login at an address.
func realm(address string) (int, http.Header, string) {
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(address)
	return 401, http.Header{"Www-Authenticate": {`Bearer realm="` + quoted + `"`}}, ""
}

func (l *lure) answerPing() (int, http.Header, string) {
	switch l.place {
	case pingRedirect:
		return 307, http.Header{"Location": {l.target}}, ""
	case pingRealm:
		return realm(l.target)
	}
	return realm("https://" + lureAuth + "/token")
}

func (l *lure) answerTags(req *http.Request) (int, http.Header, string) {
	switch {
	case l.place == tagsRealm:
		return realm(l.target)
	case req.Header.Get("Authorization") == "":
		return realm("https://" + lureAuth + "/token")
	case l.place == tagsRedirect:
		return 307, http.Header{"Location": {l.target}}, ""
	case l.place == tagsLink && req.URL.Query().Get("n") == "1000":
		return 200, http.Header{"Link": {"<" + l.target + `>; rel="next"`}}, lureAnswer
	}
	return 200, http.Header{}, lureAnswer
}

// mayBeShown reports whether a secret may be shown at an address: to the registry,
// to its token server, and to the one that the registry itself names.
func (l *lure) mayBeShown(u *url.URL) bool {
	if u.Scheme != "https" {
		return false
	}
	named, err := url.Parse(l.target)
	byRegistry := l.place == pingRealm || l.place == tagsRealm
	if byRegistry && err == nil && u.Host == named.Host && named.Scheme == "https" && named.User == nil && isPublic(u) {
		return true
	}
	return isHost(u, lureRegistry) || isHost(u, lureAuth)
}

// isPublic reports whether an address is not in a private network, as far as it
// says.
func isPublic(u *url.URL) bool {
	name := strings.ToLower(u.Hostname())
	if name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return false
	}
	ip := net.ParseIP(name)
	return ip == nil || !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast() && !ip.IsUnspecified()
}

// isHost reports whether an address is on a host: nothing but the case of ASCII
// letters, and the port of TLS, may differ.
func isHost(u *url.URL, host string) bool {
	name := strings.TrimSuffix(u.Host, ":443")
	return len(name) == len(host) && strings.EqualFold(name, host)
}

// lureHosts look like hosts that may be shown secrets, or are in private
// networks.
var lureHosts = []string{
	lureRegistry, lureAuth, strings.ToUpper(lureRegistry), lureRegistry + ":443", lureRegistry + ":444", lureRegistry + ":80", lureRegistry + ".",
	lureRegistry + ".evil.example", "evil-" + lureRegistry, "evil" + lureRegistry, "evil.example/" + lureRegistry, "evil.example#" + lureRegistry,
	"evil.example?" + lureRegistry, lureRegistry + "@evil.example", lureRegistry + ":443@evil.example", "evil.example@" + lureRegistry,
	"evil.example\\@" + lureRegistry, lureRegistry + "%2eevil.example", lureRegistry + "\u3002evil.example", "registry-\u212a.example.com",
	"registry-k.ex\u0430mple.com", "\uff52egistry-k.example.com", "registry-k.example", "example.com", "sub." + lureRegistry, "sub." + lureAuth,
	"[::1]", "127.0.0.1", "169.254.169.254", "10.0.0.1", "[fe80::1]", "0.0.0.0", "2130706433", "", ":", ":443", "localhost", "LOCALHOST:443", "a.localhost",
}

// TestSecrets_AreNotSentToOtherHosts tests that neither a registry, nor its token server, nor
// anybody that they point at, gets a secret shown to somebody else.
func TestSecrets_AreNotSentToOtherHosts(t *testing.T) {
	for place := range lureCount {
		for _, host := range lureHosts {
			for _, scheme := range []string{"https://", "http://", "//", "HTTPS://", "https:/", "https:"} {
				checkSecrets(t, place, scheme+host+"/v2/", true)
				checkSecrets(t, place, scheme+host+"/v2/", false)
			}
		}
	}
}

// FuzzSecrets is TestSecrets_AreNotSentToOtherHosts for whatever there is.
func FuzzSecrets(f *testing.F) {
	for i, host := range lureHosts {
		f.Add(i, "https://"+host+"/v2/", i%2 == 0)
	}
	f.Fuzz(checkSecrets)
}

// checkSecrets checks who is shown secrets where somebody points at a target.
func checkSecrets(t *testing.T, place int, target string, tempts bool) {
	l := &lure{place: ((place % lureCount) + lureCount) % lureCount, target: target, tempts: tempts}
	c := &testClient{NewClient(WithRateLimits(ratelimit.Config{}))}
	c.base = func(transport.Config) http.RoundTripper { return l }
	img := parse(t, lureRegistry+"/app")
	_, err := c.ListTags(t.Context(), img, login(img))
	for _, u := range l.shown {
		NewWithT(t).Expect(l.mayBeShown(u)).To(BeTrue(), "%q in place %d: a secret was shown to %s", target, l.place, u)
	}
	if err != nil && (strings.Contains(err.Error(), canary) || strings.Contains(fmt.Sprintf("%+v", err), canary)) {
		t.Errorf("the error holds a secret: %v", err)
	}
	if len(l.shown) == 0 && l.place != pingRealm && l.place != pingRedirect {
		t.Errorf("%q in place %d: nobody was shown anything, so this tests nothing: %v", target, l.place, err)
	}
}
