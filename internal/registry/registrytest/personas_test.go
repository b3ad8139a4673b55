// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"cmp"
	"net/http"
	"strings"
	"testing"
)

// TestPersona_ReproducesProductQuirks tests the behavior that was reported as client bugs: tests
// that refer to these reports depend on it. All other behavior that clients can observe is covered
// by the request counts of package matrix.
func TestPersona_ReproducesProductQuirks(t *testing.T) {
	const challenge, location = "Www-Authenticate", "Location"
	for _, c := range []struct {
		reason      string
		host, url   string // REPO, DIGEST and HEX are replaced by the product's repository and the image's digest
		method      string // empty for GET
		login       bool   // send a token for the repository, or the password
		status      int
		header, has string // a header, and the expected part of its value
	}{
		{reason: "GHCR's challenge to a ping names a repository that doesn't exist", host: "ghcr.io", url: "https://ghcr.io/v2/", status: 401,
			header: challenge, has: `Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull"`},
		{reason: "GHCR rejects the scope of its own challenge", host: "ghcr.io", status: 403, url: "https://ghcr.io/token?service=ghcr.io&scope=repository:user/image:pull&scope=repository:REPO:pull"},
		{reason: "Google rejects a second scope", host: "gcr.io", status: 403, url: "https://gcr.io/v2/token?service=gcr.io&scope=repository:REPO:pull&scope=repository:other/app:pull"},
		{reason: "lscr.io returns the challenge of GHCR", host: "lscr.io", url: "https://lscr.io/v2/REPO/tags/list", status: 401,
			header: challenge, has: `realm="https://ghcr.io/token",service="ghcr.io",scope="repository:linuxserver/radarr:pull"`},
		{reason: "Nexus doesn't support HEAD", host: nexus().Host, login: true, method: http.MethodHead, status: 404, url: "https://nexus.example.com/v2/REPO/manifests/1.0.0"},
		{reason: "GHCR redirects referrers to its web site", host: "ghcr.io", login: true, status: 303,
			url: "https://ghcr.io/v2/REPO/referrers/DIGEST", header: location, has: "/package/stefanprodan"},
		{reason: "Artifact Registry redirects referrers to a login page", host: "europe-docker.pkg.dev", login: true, status: 302,
			url: "https://europe-docker.pkg.dev/v2/REPO/referrers/DIGEST", header: location, has: "https://accounts.google.com/"},
		{reason: "GitLab interprets a referrers tag as a digest", host: gitLab().Host, login: true, status: 200,
			url: "https://registry.gitlab.com/v2/REPO/manifests/sha256-HEX", header: "Docker-Content-Digest", has: "sha256:"},
	} {
		fakes, p := StartFakeRegistries(t), productAt(t, c.host)
		r := fakes.Registry(p.Host)
		digest := r.Push(t, p.Repository, "1.0.0")
		header := http.Header{}
		if c.login {
			header.Set("Authorization", authorization(r.login, p.Repository))
		}
		names := strings.NewReplacer("REPO", p.Repository, "DIGEST", digest, "HEX", strings.TrimPrefix(digest, "sha256:"))
		status, got := fetch(t, fakes, cmp.Or(c.method, http.MethodGet), names.Replace(c.url), header)
		if value := got.Get(c.header); status != c.status || !strings.Contains(value, c.has) {
			t.Errorf("%s: got status %d and %s %q", c.reason, status, c.header, value)
		}
	}
}
