// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/proxytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// errandVariable holds an errand, in the environment of a process that runs it.
const errandVariable = "INTEGRATION_TEST_ERRAND"

// errand is what a process with an environment of its own is to read, and what
// is to come of that: net/http reads the environment once.
type errand struct {
	Host     string
	Insecure bool
	Secrets  []*corev1.Secret
	Digest   string
	Reason   string // "" where it is to succeed
	Words    []string
}

// onErrand reports whether this process runs an errand, and runs it then.
func onErrand(t *testing.T) bool {
	t.Helper()
	content, found := os.LookupEnv(errandVariable)
	if !found {
		return false
	}
	var e errand
	if err := json.Unmarshal([]byte(content), &e); err != nil {
		t.Fatal(err)
	}
	e.run(t)
	return true
}

// run reads what it is told to.
func (e errand) run(t *testing.T) {
	t.Helper()
	s := newScene(t, e.Host, e.Secrets...)
	s.repo.Spec.Insecure = e.Insecure
	if e.Reason == "" {
		s.succeeds(&server{digest: e.Digest})
		return
	}
	s.fails(e.Reason, e.Words...)
}

// send runs the errand in another process of the same test, with some more
// environment.
func (e errand) send(t *testing.T, environment ...string) {
	t.Helper()
	content, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(t.Name(), "/")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^"+name+"$", "-test.v")
	for _, variable := range os.Environ() {
		if key, _, _ := strings.Cut(variable, "="); !strings.HasSuffix(strings.ToUpper(key), "_PROXY") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(append(cmd.Env, environment...), errandVariable+"="+string(content))
	output, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "--- PASS: "+name) {
		t.Errorf("%v\n%s", err, output)
	}
}

// TestProxiesOfTheEnvironment tests that the environment's proxies are used
// where no Secret names one, whatever the certificates are.
func TestProxiesOfTheEnvironment(t *testing.T) {
	if onErrand(t) {
		return
	}
	authority := registrytest.NewAuthority(t)
	client := authority.Client(t)
	secure := startRegistry(t, settings{tls: certificates(t, authority, true, remoteName), auth: htpasswd(t)}, as(), over(authority, client))
	plain := startRegistry(t, settings{auth: htpasswd(t)}, as())
	// An address of this machine that does not pass for loopback, for which no
	// proxy is ever used.
	local := strings.Replace(plain.addr, "127.0.0.1", "0.0.0.0", 1)
	remote := errand{Host: remoteName, Digest: secure.digest, Secrets: []*corev1.Secret{login(remoteName, password), certs(t, authority, client)}}
	near := errand{Host: local, Insecure: true, Digest: plain.digest, Secrets: []*corev1.Secret{login(local, password)}}
	refused := remote
	refused.Reason, refused.Words = v1.AuthenticationFailedReason, []string{"the proxy that the controller's environment names refused the credentials for it"}
	down := remote
	down.Reason, down.Words = v1.ReadOperationFailedReason, []string{"the proxy that the controller's environment names can't be reached"}

	const nowhere = "http://u:" + password + "@127.0.0.1:1"
	cases := map[string]struct {
		reason      string
		errand      errand
		environment func(http, socks string) []string
		wantHTTP    string // what the HTTP proxy connected to
		wantSOCKS   string
		secret      bool // names the HTTP proxy
	}{
		"HTTPS":     {reason: "TLS by CONNECT", errand: remote, environment: func(h, _ string) []string { return []string{"HTTPS_PROXY=" + h} }, wantHTTP: remoteName + ":443"},
		"LowerCase": {reason: "the other spelling", errand: remote, environment: func(h, _ string) []string { return []string{"https_proxy=" + h} }, wantHTTP: remoteName + ":443"},
		"SOCKS5":    {reason: "another kind", errand: remote, environment: func(_, s string) []string { return []string{"HTTPS_PROXY=" + s} }, wantSOCKS: remoteName + ":443"},
		"HTTP":      {reason: "plain HTTP has a proxy of its own", errand: near, environment: func(h, _ string) []string { return []string{"HTTP_PROXY=" + h} }, wantHTTP: local},
		"NoProxy":   {reason: "what needs none gets none", errand: near, environment: func(h, _ string) []string { return []string{"HTTP_PROXY=" + h, "HTTPS_PROXY=" + h, "NO_PROXY=0.0.0.0"} }},
		"WrongPassword": {reason: "nobody's Secret is to blame", errand: refused, environment: func(h, _ string) []string {
			return []string{"HTTPS_PROXY=" + strings.Replace(h, password, password+"-2", 1)}
		}},
		"Nowhere":    {reason: "its address holds a password", errand: down, environment: func(string, string) []string { return []string{"HTTPS_PROXY=" + nowhere} }},
		"SecretWins": {reason: "the object knows better", errand: remote, secret: true, environment: func(string, string) []string { return []string{"HTTPS_PROXY=" + nowhere} }, wantHTTP: remoteName + ":443"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			wants := []proxytest.Option{proxytest.WithLogin("proxy-user", password), proxytest.WithTarget(secure.addr)}
			http, socks := proxytest.StartHTTP(t, wants...), proxytest.StartSOCKS5(t, wants...)
			if tc.secret {
				tc.errand.Secrets = append(tc.errand.Secrets, through(http, password))
			}
			tc.errand.send(t, tc.environment(withLogin(http), withLogin(socks))...)
			checkTargets(t, tc.reason, http, tc.wantHTTP)
			checkTargets(t, tc.reason, socks, tc.wantSOCKS)
		})
	}
}

// withLogin returns the address of a proxy with the credentials in it.
func withLogin(p *proxytest.Proxy) string {
	return strings.Replace(p.Address(), "://", "://proxy-user:"+password+"@", 1)
}

// checkTargets checks that a proxy was sent to one place only, "" for none.
func checkTargets(t *testing.T, reason string, p *proxytest.Proxy, want string) {
	t.Helper()
	targets := p.Targets()
	if (len(targets) > 0) != (want != "") {
		t.Errorf("%s: the proxy %s was sent to %v, want %q", reason, p.Address(), targets, want)
	}
	for _, target := range targets {
		if target != want {
			t.Errorf("%s: the proxy was sent to %s, want %s", reason, target, want)
		}
	}
}
