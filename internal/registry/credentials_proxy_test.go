// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// proxySecret returns a Secret with the address and credentials of a proxy.
func proxySecret(name, address, username, password string) *corev1.Secret {
	data := map[string][]byte{"address": []byte(address)}
	if username != "" {
		data["username"] = []byte(username)
	}
	if password != "" {
		data["password"] = []byte(password)
	}
	return dataSecret(name, data)
}

func TestProxy_ParsesSecret(t *testing.T) {
	cases := map[string]struct {
		reason                      string
		address, username, password string
		want, wantErr               string
	}{
		"HTTP":         {reason: "without credentials", address: "http://proxy.example.com:3128", want: "http://proxy.example.com:3128"},
		"HTTPS":        {reason: "over TLS", address: "https://proxy.example.com", want: "https://proxy.example.com"},
		"SOCKS5":       {reason: "another protocol", address: "socks5://proxy.example.com:1080", want: "socks5://proxy.example.com:1080"},
		"Case":         {reason: "schemes are case-insensitive", address: "HTTP://proxy.example.com:3128", want: "http://proxy.example.com:3128"},
		"Login":        {reason: "with credentials", address: "http://proxy.example.com:3128", username: "u", password: "p@:/", want: "http://u:p%40%3A%2F@proxy.example.com:3128"},
		"Username":     {reason: "some proxies require only a username", address: "http://proxy.example.com:3128", username: "u", want: "http://u@proxy.example.com:3128"},
		"InAddress":    {reason: "credentials may be in the address", address: "http://u:p@proxy.example.com:3128", want: "http://u:p@proxy.example.com:3128"},
		"KeysWin":      {reason: "keys take precedence over the address", address: "http://x:y@proxy.example.com:3128", username: "u", password: "p", want: "http://u:p@proxy.example.com:3128"},
		"Newline":      {reason: "a trailing newline", address: "http://proxy.example.com:3128\n", want: "http://proxy.example.com:3128"},
		"Slash":        {reason: "a trailing slash is ignored", address: "http://proxy.example.com:3128/", want: "http://proxy.example.com:3128"},
		"Empty":        {reason: "no address", wantErr: "has no key address"},
		"NoScheme":     {reason: "a common mistake", address: "proxy.example.com:3128", wantErr: "does not begin with http://, https:// or socks5://"},
		"OtherScheme":  {reason: "an unsupported protocol", address: "ftp://" + canary + "@proxy.example.com", wantErr: "does not begin with http://, https:// or socks5://"},
		"NoHost":       {reason: "no host", address: "http://", wantErr: "no address of a proxy"},
		"Malformed":    {reason: "errors of net/url contain the URL", address: "http://u:" + canary + "@[", wantErr: "no address of a proxy"},
		"BadPort":      {reason: "errors of net/url contain the URL", address: "http://u:" + canary + "@proxy:port", wantErr: "no address of a proxy"},
		"Path":         {reason: "proxy URLs have no path or query", address: "http://proxy.example.com/" + canary, wantErr: "no address of a proxy"},
		"Query":        {reason: "proxy URLs have no path or query", address: "http://proxy.example.com?" + canary, wantErr: "no address of a proxy"},
		"OnlyPassword": {reason: "an incomplete pair", address: "http://proxy.example.com", password: canary, wantErr: "has a password without a username"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c := newCluster([]*corev1.Secret{proxySecret("proxy", tc.address, tc.username, tc.password)}, nil)
			auth, err := NewAuthOptionsGetter(credentials.NewResolver(c)).AuthOptions(t.Context(), repository(func(s *v1.ImageRepositorySpec) { s.ProxySecretRef = secretRef("proxy") }))
			if tc.wantErr != "" {
				checkError(t, err, v1.AuthenticationFailedReason, `Secret "proxy" of spec.proxySecretRef `, tc.wantErr)
				return
			}
			g.Expect(err).NotTo(HaveOccurred(), tc.reason)
			if got := auth.Transport.Proxy.String(); got != tc.want || auth.Identity() == "" || !auth.IsAnonymous() {
				t.Errorf("%s: got %s", tc.reason, got)
			}
			g.Expect(fmt.Sprintf("%v %+v %#v", auth, auth, auth)).NotTo(ContainSubstring("proxy.example.com"), "%s: printed identity", tc.reason)
		})
	}
}

// TestIdentity_DependsOnTransport tests that every setting of a connection is part of the
// identity.
func TestIdentity_DependsOnTransport(t *testing.T) {
	a, b := validPair(t), validPair(t)
	base := func(s *v1.ImageRepositorySpec) {
		s.SecretRef, s.CertSecretRef, s.ProxySecretRef = secretRef("login"), secretRef("certs"), secretRef("proxy")
	}
	cases := map[string]struct {
		reason string
		spec   func(*v1.ImageRepositorySpec)
		change func(map[string]*corev1.Secret)
		same   bool
	}{
		"Equal":    {reason: "nothing changed", same: true},
		"Name":     {reason: "the names of Secrets don't matter", spec: func(s *v1.ImageRepositorySpec) { s.ProxySecretRef = secretRef("proxy-2") }, same: true},
		"Password": {reason: "another password of the registry", change: func(s map[string]*corev1.Secret) { s["login"] = dockerSecret("login", "ghcr.io", "other") }},
		"CA":       {reason: "another certificate authority", change: func(s map[string]*corev1.Secret) { s["certs"].Data["ca.crt"] = b.cert }},
		"Certificate": {reason: "another client certificate", change: func(s map[string]*corev1.Secret) {
			s["certs"].Data["tls.crt"], s["certs"].Data["tls.key"] = b.cert, b.key
		}},
		"NoClient": {reason: "no client certificate", change: func(s map[string]*corev1.Secret) {
			delete(s["certs"].Data, "tls.crt")
			delete(s["certs"].Data, "tls.key")
		}},
		"Address":    {reason: "another proxy", change: func(s map[string]*corev1.Secret) { s["proxy"].Data["address"] = []byte("http://other.example.com") }},
		"ProxyLogin": {reason: "another password of the proxy", change: func(s map[string]*corev1.Secret) { s["proxy"].Data["password"] = []byte("other") }},
		"Bytes":      {reason: "passwords may be binary", change: func(s map[string]*corev1.Secret) { s["proxy"].Data["password"] = []byte{0xff} }},
		"NoProxy":    {reason: "no proxy", spec: func(s *v1.ImageRepositorySpec) { s.ProxySecretRef = nil }},
		"NoCerts":    {reason: "no certificates", spec: func(s *v1.ImageRepositorySpec) { s.CertSecretRef = nil }},
		"Anonymous":  {reason: "no credentials", spec: func(s *v1.ImageRepositorySpec) { s.SecretRef = nil }},
	}
	identity := func(t *testing.T, spec func(*v1.ImageRepositorySpec), change func(map[string]*corev1.Secret)) string {
		t.Helper()
		c := newCluster([]*corev1.Secret{
			dockerSecret("login", "ghcr.io", "user"),
			dataSecret("certs", map[string][]byte{"ca.crt": a.cert, "tls.crt": a.cert, "tls.key": a.key}),
			proxySecret("proxy", "http://proxy.example.com", "u", "\xfe"),
			proxySecret("proxy-2", "http://proxy.example.com", "u", "\xfe"),
		}, nil)
		if change != nil {
			change(c.secrets)
		}
		auth, err := NewAuthOptionsGetter(credentials.NewResolver(c)).AuthOptions(t.Context(), repository(func(s *v1.ImageRepositorySpec) {
			base(s)
			if spec != nil {
				spec(s)
			}
		}))
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		return auth.Identity()
	}
	want := identity(t, nil, nil)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(identity(t, tc.spec, tc.change) == want).To(Equal(tc.same), "%s: the identity", tc.reason)
		})
	}
}

// TestAuthOptions_ReadSharedSecretOnce tests that one Secret may contain everything and is read
// once.
func TestAuthOptions_ReadSharedSecretOnce(t *testing.T) {
	pair := validPair(t)
	shared := dockerSecret("all", "ghcr.io", "user")
	shared.Data["ca.crt"], shared.Data["address"] = pair.cert, []byte("socks5://proxy.example.com:1080")
	c := newCluster([]*corev1.Secret{shared}, nil)
	auth, err := NewAuthOptionsGetter(credentials.NewResolver(c)).AuthOptions(t.Context(), repository(func(s *v1.ImageRepositorySpec) {
		s.SecretRef, s.CertSecretRef, s.ProxySecretRef = secretRef("all"), secretRef("all"), secretRef("all")
	}))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	if auth.IsAnonymous() || auth.Transport.TLS == nil || auth.Transport.Proxy == nil || len(c.read) != 1 {
		t.Errorf("got %v with %+v, of the Secrets %v", auth, auth.Transport.Key, c.read)
	}
}

func TestProxy_ErrorsNameTheFix(t *testing.T) {
	connect := func(err error) error { return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err} }
	socks := func(text string) error { return &net.OpError{Op: "socks connect", Net: "tcp", Err: errors.New(text)} }
	fromSecret, environment := AuthOptions{ProxyOrigin: `Secret "proxy"`}, AuthOptions{}
	fromSecret.Transport.Proxy = &url.URL{Scheme: "http", Host: "proxy.example.com"}
	withLogin := fromSecret
	withLogin.Transport.Proxy = &url.URL{Scheme: "http", Host: "proxy.example.com", User: url.UserPassword("user", canary)}
	cases := map[string]struct {
		reason     string
		auth       AuthOptions
		err        error
		want       string
		wantReason string
	}{
		"NoLogin":     {reason: "no credentials were given", auth: fromSecret, err: &transport.ProxyError{StatusCode: 407}, want: `the proxy of Secret "proxy" wants credentials (407): add a username and a password to the Secret`, wantReason: v1.AuthenticationFailedReason},
		"Login":       {reason: "wrong credentials", auth: withLogin, err: &transport.ProxyError{StatusCode: 407}, want: `the proxy of Secret "proxy" refused the credentials for it (407): check its username and password`, wantReason: v1.AuthenticationFailedReason},
		"Environment": {reason: "the proxy of the environment", auth: environment, err: &transport.ProxyError{StatusCode: 407}, want: `the proxy that the controller's environment names refused the credentials for it (407): check its username and password`, wantReason: v1.AuthenticationFailedReason},
		"PlainHTTP":   {reason: "the response of a proxy without CONNECT", auth: withLogin, err: &ggcr.Error{StatusCode: 407}, want: `the proxy of Secret "proxy" refused the credentials for it (407): check its username and password`, wantReason: v1.AuthenticationFailedReason},
		"Forbidden":   {reason: "a rule of the proxy", auth: fromSecret, err: &transport.ProxyError{StatusCode: 403}, want: `the proxy of Secret "proxy" does not allow connections to ghcr.io (403)`},
		"BadGateway":  {reason: "a failure behind the proxy", auth: fromSecret, err: &transport.ProxyError{StatusCode: 502}, want: `the proxy of Secret "proxy" can't reach ghcr.io (502)`},
		"Other":       {reason: "any other status", auth: fromSecret, err: &transport.ProxyError{StatusCode: 418}, want: `the proxy of Secret "proxy" opened no connection to ghcr.io (418)`},
		"Refused":     {reason: "nothing listens", auth: fromSecret, err: connect(errors.New(canary)), want: `the proxy of Secret "proxy" can't be reached: check its address, and that it runs`},
		"NoSuchHost":  {reason: "the proxy's name can't be resolved", auth: fromSecret, err: connect(&net.DNSError{IsNotFound: true}), want: `the name of the proxy of Secret "proxy" can't be resolved: check its address`},
		"Timeout":     {reason: "the proxy doesn't respond", auth: fromSecret, err: connect(timeoutError{}), want: `the proxy of Secret "proxy" did not answer in time: check that it can be reached`},
		"SOCKSLogin":  {reason: "wrong credentials", auth: withLogin, err: socks("username/password authentication failed"), want: `the proxy of Secret "proxy" refused the credentials for it: check its username and password`, wantReason: v1.AuthenticationFailedReason},
		"SOCKSRule":   {reason: "a rule of the proxy", auth: fromSecret, err: socks("unknown error connection not allowed by ruleset"), want: `the proxy of Secret "proxy" does not allow connections to ghcr.io`},
		"SOCKSOther":  {reason: "a failure behind the proxy", auth: fromSecret, err: socks("unknown error host unreachable"), want: `the proxy of Secret "proxy" can't reach ghcr.io`},
		"Library":     {reason: "the text of net/http", auth: withLogin, err: errors.New(http.StatusText(http.StatusProxyAuthRequired)), want: `the proxy of Secret "proxy" refused the credentials for it (407): check its username and password`, wantReason: v1.AuthenticationFailedReason},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			op := operation{verb: opListTags, image: parse(t, "ghcr.io/org/app"), auth: tc.auth}
			err := op.fail(fmt.Errorf("wrapped: %w", tc.err))
			if want := "failed to list the tags of ghcr.io/org/app: " + tc.want; err.Error() != want {
				t.Errorf("%s:\ngot  %s\nwant %s", tc.reason, err, want)
			}
			want := tc.wantReason
			if want == "" {
				want = v1.ReadOperationFailedReason
			}
			checkError(t, err, want)
		})
	}
}
