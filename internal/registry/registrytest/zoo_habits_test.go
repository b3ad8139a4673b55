// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"cmp"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
)

// habitCase is an answer for which a product is known.
type habitCase struct {
	reason  string
	host    string // of the product
	url     string // with REPO for the product's repository, and DIGEST for its image
	login   bool   // with a token that admits to the repository, or the password
	method  string // GET where empty
	accept  string
	status  int
	headers map[string]string // what they contain
	body    string            // what it contains
}

// TestProducts_HaveTheirHabits stands for imitations that an edit makes alike:
// each case is what a client of only one form of the protocol trips over, in
// the ping, the token server, the lists, the manifests and the referrers.
func TestProducts_HaveTheirHabits(t *testing.T) {
	for _, group := range [][]habitCase{challengeCases(), tokenCases(), answerCases(), hostedChallengeCases(), hostedAnswerCases()} {
		for _, c := range group {
			z := StartZoo(t)
			r := z.Registry(c.host)
			repo := repositoryIn(t, c.host)
			digest := r.Push(t, repo, "1.0.0")
			r.PushIndex(t, repo, "index", "linux/amd64")
			header := http.Header{"Accept": {c.accept}}
			if c.login {
				header.Set("Authorization", authorization(r.login, repo))
			}
			resp := fetch(t, z, cmp.Or(c.method, http.MethodGet), strings.NewReplacer("REPO", repo, "DIGEST", digest).Replace(c.url), header)
			if resp.StatusCode != c.status {
				t.Errorf("%s: got status %d, want %d", c.reason, resp.StatusCode, c.status)
			}
			for name, want := range c.headers {
				if got := resp.Header.Get(name); !strings.Contains(got, want) || want == "" && got != "" {
					t.Errorf("%s: got %s %q, want %q", c.reason, name, got, want)
				}
			}
			if !strings.Contains(resp.body, c.body) {
				t.Errorf("%s: got body %q, want %q in it", c.reason, resp.body, c.body)
			}
		}
	}
}

// issueToken returns a new token for some repositories.
func issueToken(l *tokenLogin, repositories ...string) string {
	answer := l.issue(repositories)
	for _, field := range []string{"token", "access_token"} {
		if token, ok := answer[field].(string); ok {
			return token
		}
	}
	return ""
}

// authorization returns a header Authorization that admits to a repository.
func authorization(l login, repository string) string {
	switch l := l.(type) {
	case *tokenLogin:
		return "Bearer " + issueToken(l, repository)
	case *basicLogin:
		return basic(authn.AuthConfig{Username: l.username, Password: l.password}).Get("Authorization")
	}
	return ""
}

// repositoryIn returns the repository of the product that has a host.
func repositoryIn(t *testing.T, host string) string {
	t.Helper()
	for _, p := range Products() {
		if p.Host == host {
			return p.Repository
		}
	}
	t.Fatalf("no product has the host %s", host)
	return ""
}

func challengeCases() []habitCase {
	const challenge = "Www-Authenticate"
	return []habitCase{
		{
			reason: "GHCR's ping names a repository that does not exist", host: "ghcr.io", url: "https://ghcr.io/v2/", status: 401,
			headers: map[string]string{challenge: `Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull"`},
		},
		{
			reason: "GHCR's operations name their own repository", host: "ghcr.io", url: "https://ghcr.io/v2/REPO/tags/list", status: 401,
			headers: map[string]string{challenge: `scope="repository:stefanprodan/podinfo:pull"`},
		},
		{
			reason: "lscr.io shows the challenge of GHCR", host: "lscr.io", url: "https://lscr.io/v2/REPO/tags/list", status: 401,
			headers: map[string]string{challenge: `realm="https://ghcr.io/token",service="ghcr.io",scope="repository:linuxserver/radarr:pull"`},
		},
		{
			reason: "Docker Hub's token server is another host", host: "index.docker.io", url: "https://registry-1.docker.io/v2/", status: 401,
			headers: map[string]string{challenge: `Bearer realm="https://auth.docker.io/token",service="registry.docker.io"`},
		},
		{
			reason: "Quay challenges after a login too", host: "quay.io", url: "https://quay.io/v2/", login: true, status: 200,
			headers: map[string]string{challenge: `realm="https://quay.io/v2/auth"`},
		},
		{
			reason: "Artifact Registry names no service", host: "europe-docker.pkg.dev", url: "https://europe-docker.pkg.dev/v2/", status: 401,
			headers: map[string]string{challenge: `Bearer realm="https://europe-docker.pkg.dev/v2/token"`},
		},
		{
			reason: "ECR Public has one scope", host: "public.ecr.aws", url: "https://public.ecr.aws/v2/REPO/tags/list", status: 401,
			headers: map[string]string{challenge: `Bearer realm="https://public.ecr.aws/token/",service="public.ecr.aws",scope="aws"`},
		},
		{
			reason: "ECR wants a password itself, and answers with text", host: ecr().Host, url: "https://" + ecr().Host + "/v2/", status: 401,
			headers: map[string]string{challenge: "Basic ", "Content-Type": "text/plain"}, body: "Not Authorized",
		},
	}
}

func tokenCases() []habitCase {
	return []habitCase{
		{
			reason: "GHCR refuses the scope of its own ping", host: "ghcr.io", status: 403, body: "DENIED",
			url: "https://ghcr.io/token?service=ghcr.io&scope=repository:user/image:pull&scope=repository:REPO:pull",
		},
		{
			reason: "GHCR refuses an action beyond pull", host: "ghcr.io", status: 403, body: "DENIED",
			url: "https://ghcr.io/token?service=ghcr.io&scope=repository:REPO:pull,push",
		},
		{
			reason: "Google refuses a second scope", host: "gcr.io", status: 403,
			url: "https://gcr.io/v2/token?service=gcr.io&scope=repository:REPO:pull&scope=repository:other/app:pull",
		},
		{
			reason: "Docker Hub grants less instead", host: "index.docker.io", status: 200, body: `"expires_in":300`,
			url: "https://auth.docker.io/token?service=registry.docker.io&scope=repository:REPO:pull&scope=repository:other/app:pull",
		},
		{
			reason: "Quay refuses what is no scope", host: "quay.io", status: 400,
			url: "https://quay.io/v2/auth?service=quay.io&scope=REPO",
		},
		{
			reason: "Quay refuses an anonymous client without a scope", host: "quay.io", status: 401,
			url: "https://quay.io/v2/auth?service=quay.io",
		},
		{
			reason: "ECR Public needs no scope", host: "public.ecr.aws", url: "https://public.ecr.aws/token/?service=public.ecr.aws", status: 200,
			body: `"token":`,
		},
	}
}

func answerCases() []habitCase {
	const index = "application/vnd.oci.image.index.v1+json"
	hub, k8s := "https://index.docker.io/v2/REPO", "https://registry.k8s.io/v2/REPO"
	return []habitCase{
		{
			reason: "Docker Hub counts pulls", host: "index.docker.io", url: hub + "/manifests/1.0.0", login: true, status: 200,
			headers: map[string]string{"Ratelimit-Limit": "100;w=21600", "Ratelimit-Remaining": ";w=21600"},
		},
		{
			reason: "GHCR hides an index from clients that do not accept it", host: "ghcr.io", login: true, status: 404,
			url: "https://ghcr.io/v2/REPO/manifests/index", accept: "application/json", body: "MANIFEST_UNKNOWN",
		},
		{
			reason: "GHCR shows an index to clients that accept it", host: "ghcr.io", login: true, status: 200,
			url: "https://ghcr.io/v2/REPO/manifests/index", accept: index,
		},
		{
			reason: "GHCR redirects referrers to its web site, without the digest", host: "ghcr.io", login: true, status: 303,
			url:     "https://ghcr.io/v2/REPO/referrers/DIGEST",
			headers: map[string]string{"Location": "/package/stefanprodan%2Fpodinfo%2Freferrers%2Fsha256"},
		},
		{
			reason: "Artifact Registry redirects referrers to a login page", host: "europe-docker.pkg.dev", login: true, status: 302,
			url: "https://europe-docker.pkg.dev/v2/REPO/referrers/DIGEST", headers: map[string]string{"Location": "https://accounts.google.com/"},
		},
		{
			reason: "Google's lists have more fields, and numbers in strings", host: "gcr.io", url: "https://gcr.io/v2/REPO/tags/list", status: 200,
			body: `"imageSizeBytes":"`,
		},
		{
			reason: "registry.k8s.io redirects lists with their query", host: "registry.k8s.io", url: k8s + "/tags/list?n=5", status: 307,
			headers: map[string]string{"Location": "-docker.pkg.dev/v2/k8s-artifacts-prod/images/ingress-nginx/controller/tags/list?n=5"},
		},
		{
			reason: "registry.k8s.io redirects blobs to another cloud", host: "registry.k8s.io", url: k8s + "/blobs/DIGEST", status: 307,
			headers: map[string]string{"Location": "amazonaws.com/containers/images/sha256:"},
		},
		{
			reason: "Distribution 3 refuses a negative length", host: distribution3().Host, login: true, status: 400,
			url: "https://" + distribution3().Host + "/v2/REPO/tags/list?n=-1", body: "PAGINATION_NUMBER_INVALID",
		},
	}
}

func TestECRPublic_RefusesAnOldTokenWithoutAChallenge(t *testing.T) {
	z := StartZoo(t)
	header := http.Header{"Authorization": {"Bearer old"}}
	resp := fetch(t, z, http.MethodGet, "https://public.ecr.aws/v2/docker/library/nginx/tags/list", header)
	if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Www-Authenticate") != "" {
		t.Errorf("got status %d with challenge %q, want 400 without one", resp.StatusCode, resp.Header.Get("Www-Authenticate"))
	}
}

func TestECR_RefusesPagesOfMoreThanItsMaximum(t *testing.T) {
	z := StartZoo(t)
	p := ecr()
	z.Registry(p.Host).Push(t, p.Repository, "1.0.0")
	resp := fetch(t, z, http.MethodGet, "https://"+p.Host+"/v2/"+p.Repository+"/tags/list?n=10000", basic(p.Password))
	if resp.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(resp.body, "UNSUPPORTED") {
		t.Errorf("got status %d, body %q", resp.StatusCode, resp.body)
	}
}

func TestLSCR_RedirectsDockerOnly(t *testing.T) {
	z := StartZoo(t)
	z.Registry("lscr.io").Push(t, "linuxserver/radarr", "1.0.0")
	token, _ := z.Registry("ghcr.io").login.(*tokenLogin).issue([]string{"linuxserver/radarr"})["token"].(string)
	for agent, want := range map[string]int{"docker/27.0": 307, "containerd/2.0": 307, "go-containerregistry": 200} {
		header := http.Header{"Authorization": {"Bearer " + token}, "User-Agent": {agent}}
		resp := fetch(t, z, http.MethodGet, "https://lscr.io/v2/linuxserver/radarr/tags/list", header)
		if resp.StatusCode != want {
			t.Errorf("%s: got status %d, want %d", agent, resp.StatusCode, want)
		}
	}
}
