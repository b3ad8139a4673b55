// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"cmp"
	"net/http"
	"strings"
	"testing"
)

// TestPersona_ReproducesProductQuirks keeps the habits that were reported as faults of
// clients: without them, the tests that name those reports would prove nothing.
// All other habits that a client can notice are in the request counts of matrix.
func TestPersona_ReproducesProductQuirks(t *testing.T) {
	const challenge, location = "Www-Authenticate", "Location"
	for _, c := range []struct {
		reason      string
		host, url   string // with REPO for the product's repository, and DIGEST for its image
		method      string // GET where empty
		login       bool   // with a token that admits to the repository, or the password
		status      int
		header, has string // a header, and what it contains
	}{
		{reason: "GHCR's ping names a repository that does not exist", host: "ghcr.io", url: "https://ghcr.io/v2/", status: 401,
			header: challenge, has: `Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull"`},
		{reason: "GHCR refuses the scope of its own ping", host: "ghcr.io", status: 403, url: "https://ghcr.io/token?service=ghcr.io&scope=repository:user/image:pull&scope=repository:REPO:pull"},
		{reason: "Google refuses a second scope", host: "gcr.io", status: 403, url: "https://gcr.io/v2/token?service=gcr.io&scope=repository:REPO:pull&scope=repository:other/app:pull"},
		{reason: "lscr.io shows the challenge of GHCR", host: "lscr.io", url: "https://lscr.io/v2/REPO/tags/list", status: 401,
			header: challenge, has: `realm="https://ghcr.io/token",service="ghcr.io",scope="repository:linuxserver/radarr:pull"`},
		{reason: "Nexus has no HEAD", host: nexus().Host, login: true, method: http.MethodHead, status: 404, url: "https://nexus.example.com/v2/REPO/manifests/1.0.0"},
		{reason: "GHCR redirects referrers to its web site", host: "ghcr.io", login: true, status: 303,
			url: "https://ghcr.io/v2/REPO/referrers/DIGEST", header: location, has: "/package/stefanprodan"},
		{reason: "Artifact Registry redirects referrers to a login page", host: "europe-docker.pkg.dev", login: true, status: 302,
			url: "https://europe-docker.pkg.dev/v2/REPO/referrers/DIGEST", header: location, has: "https://accounts.google.com/"},
		{reason: "GitLab takes the tag of referrers for a digest", host: gitLab().Host, login: true, status: 200,
			url: "https://registry.gitlab.com/v2/REPO/manifests/sha256-HEX", header: "Docker-Content-Digest", has: "sha256:"},
	} {
		z, p := StartZoo(t), productAt(t, c.host)
		r := z.Registry(p.Host)
		digest := r.Push(t, p.Repository, "1.0.0")
		header := http.Header{}
		if c.login {
			header.Set("Authorization", authorization(r.login, p.Repository))
		}
		names := strings.NewReplacer("REPO", p.Repository, "DIGEST", digest, "HEX", strings.TrimPrefix(digest, "sha256:"))
		status, answered := fetch(t, z, cmp.Or(c.method, http.MethodGet), names.Replace(c.url), header)
		if got := answered.Get(c.header); status != c.status || !strings.Contains(got, c.has) {
			t.Errorf("%s: got status %d and %s %q", c.reason, status, c.header, got)
		}
	}
}
