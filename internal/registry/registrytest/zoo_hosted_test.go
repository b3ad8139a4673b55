// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"testing"
)

// hostedChallengeCases are the logins of products that many organisations have
// on hosts of their own.
func hostedChallengeCases() []habitCase {
	const challenge = "Www-Authenticate"
	return []habitCase{
		{
			reason: "ACR's service is its own host", host: acr().Host, url: "https://" + acr().Host + "/v2/REPO/tags/list", status: 401,
			headers: map[string]string{challenge: `Bearer realm="https://contosoregistry.azurecr.io/oauth2/token",service="contosoregistry.azurecr.io",` +
				`scope="repository:hello-world:pull"`},
			body: `"Action":"pull"`,
		},
		{
			reason: "GitLab's token server is another host", host: gitLab().Host, url: "https://registry.gitlab.com/v2/", status: 401,
			headers: map[string]string{challenge: `Bearer realm="https://gitlab.com/jwt/auth",service="container_registry"`},
		},
		{
			reason: "GitLab refuses a token for what isn't there", host: gitLab().Host, status: 403,
			url:  "https://gitlab.com/jwt/auth?service=container_registry&scope=repository:none/app:pull",
			body: "access forbidden",
		},
		{
			reason: "Harbor challenges the ping of a public project", host: harbor().Host, url: "https://demo.goharbor.io/v2/", status: 401,
			headers: map[string]string{challenge: `Bearer realm="https://demo.goharbor.io/service/token",service="harbor-registry"`},
		},
		{
			reason: "Harbor needs no token to read it", host: harbor().Host, url: "https://demo.goharbor.io/v2/REPO/tags/list", status: 200,
		},
		{
			reason: "Harbor needs a token for HEAD", host: harbor().Host, status: 401,
			method: http.MethodHead, url: "https://demo.goharbor.io/v2/REPO/manifests/1.0.0",
			headers: map[string]string{challenge: `scope="repository:library/app:pull"`},
		},
		{
			reason: "Harbor refuses a token to who neither logs in nor asks for anything", host: harbor().Host, status: 401,
			url: "https://demo.goharbor.io/service/token?service=harbor-registry",
		},
		{
			reason: "Nexus writes its scheme in capitals", host: nexus().Host, url: "https://nexus.example.com/v2/", status: 401,
			headers: map[string]string{challenge: `BASIC realm="Sonatype Nexus Repository Manager"`},
		},
		{
			reason: "Artifactory's token server is in the repository", host: artifactory().Host,
			url: "https://artifactory.example.com/v2/", status: 401,
			headers: map[string]string{challenge: `/artifactory/api/docker/docker/v2/token"`, "X-Artifactory-Id": "imitation"},
		},
		{
			reason: "Gitea has one scope", host: gitea().Host, url: "https://gitea.example.com/v2/REPO/tags/list", status: 401,
			headers: map[string]string{challenge: `realm="https://gitea.example.com/v2/token",service="container_registry",scope="*"`},
		},
		{
			reason: "Zot's refusal is no list of errors", host: zot().Host, url: "https://zot.example.com/v2/", status: 401,
			headers: map[string]string{challenge: `Basic realm="Authorization Required"`}, body: `{"code":"UNAUTHORIZED"`,
		},
	}
}

// hostedAnswerCases are what these products answer to those who are logged in.
func hostedAnswerCases() []habitCase {
	gitLabURL, harborURL := "https://registry.gitlab.com/v2/REPO", "https://demo.goharbor.io/v2/REPO"
	nexusURL, artifactoryURL := "https://nexus.example.com/v2/REPO", "https://artifactory.example.com/v2/REPO"
	return []habitCase{
		{
			reason: "ACR's Link has an empty order", host: acr().Host, login: true,
			url: "https://" + acr().Host + "/v2/REPO/tags/list?n=1", status: 200,
			headers: map[string]string{"Link": `</v2/hello-world/tags/list?last=1.0.0&n=1&orderby=>; rel="next"`},
		},
		{
			reason: "ACR's blobs are on a storage account", host: acr().Host, login: true,
			url: "https://" + acr().Host + "/v2/REPO/blobs/DIGEST", status: 307,
			headers: map[string]string{"Location": ".blob.core.windows.net/"},
		},
		{
			reason: "which takes a signature only", host: acr().Host, login: true, status: 400,
			url: "https://contosostorage.blob.core.windows.net/layers/1", body: "InvalidAuthenticationInfo",
		},
		{
			reason: "GitLab has no referrers", host: gitLab().Host, login: true, url: gitLabURL + "/referrers/DIGEST", status: 404,
			headers: map[string]string{"Content-Type": "text/plain"},
		},
		{
			reason: "Harbor lists no tags where none are asked for", host: harbor().Host,
			url: harborURL + "/tags/list?n=0", status: 200, body: `"tags":[]`,
		},
		{
			reason: "Harbor refuses what is no number", host: harbor().Host,
			url: harborURL + "/tags/list?n=many", status: 400, body: "BAD_REQUEST",
		},
		{
			reason: "Harbor's list of unknown referrers is an empty document", host: harbor().Host, status: 200, body: "{}\n",
			url: harborURL + "/referrers/sha256:0123012301230123012301230123012301230123012301230123012301230123",
		},
		{
			reason: "Nexus has no HEAD", host: nexus().Host, login: true, method: http.MethodHead, url: nexusURL + "/manifests/1.0.0", status: 404,
		},
		{
			reason: "Nexus has GET", host: nexus().Host, login: true, url: nexusURL + "/manifests/1.0.0", status: 200,
		},
		{
			reason: "Nexus's Link is a URL", host: nexus().Host, login: true, url: nexusURL + "/tags/list?n=1", status: 200,
			headers: map[string]string{"Link": `<https://nexus.example.com/v2/team/app/tags/list?last=1.0.0&n=1>; rel="next"`},
		},
		{
			reason: "Artifactory's Link leads to another image", host: artifactory().Host, login: true,
			url: artifactoryURL + "/tags/list?n=1", status: 200,
			headers: map[string]string{"Link": `</v2/team/app/tags/list?last=1.0.0&n=1>`},
		},
		{
			reason: "Artifactory forbids a missing tag", host: artifactory().Host, login: true,
			url: artifactoryURL + "/manifests/missing", status: 403,
		},
		{
			reason: "Artifactory sends no list to who accepts manifests", host: artifactory().Host, login: true, status: 406,
			url: artifactoryURL + "/tags/list", accept: "application/vnd.docker.distribution.manifest.v2+json",
		},
		{
			reason: "Gitea's last page names another one", host: gitea().Host, login: true,
			url: "https://gitea.example.com/v2/REPO/tags/list", status: 200,
			headers: map[string]string{"Link": `</v2/team/app/tags/list?last=index>; rel="next"`},
		},
		{
			reason: "and that one is empty", host: gitea().Host, login: true,
			url: "https://gitea.example.com/v2/REPO/tags/list?last=index", status: 200,
			headers: map[string]string{"Link": ""}, body: `"tags":[]`,
		},
		{
			reason: "Zot lists no tags where none are asked for", host: zot().Host, login: true, status: 200,
			url: "https://zot.example.com/v2/REPO/tags/list?n=0", body: `"tags":[]`,
		},
		{
			reason: "Zot has no body for a bad number", host: zot().Host, login: true,
			url: "https://zot.example.com/v2/REPO/tags/list?n=many", status: 400,
		},
		{
			reason: "Distribution 2 cuts no list", host: distribution2().Host, login: true, status: 200,
			url: "https://distribution-2.example.com/v2/REPO/tags/list?n=1&last=zzz", body: `"tags":["1.0.0","index"]`,
		},
	}
}

// TestGitLab_TakesTheTagOfReferrersForADigest stands for clients that take the
// manifest under a tag of the referrers schema for a list: of an image, of an
// index, and of what isn't there.
func TestGitLab_TakesTheTagOfReferrersForADigest(t *testing.T) {
	z := StartZoo(t)
	r, repo := z.Registry(gitLab().Host), gitLab().Repository
	header := http.Header{
		"Accept":        {"application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json"},
		"Authorization": {""},
	}
	for want, status := range map[string]int{
		r.Push(t, repo, "1.0.0"):                   http.StatusOK,
		r.PushIndex(t, repo, "2.0.0", "linux/arm"): http.StatusOK,
		digestOfBytes([]byte("missing")):           http.StatusNotFound,
	} {
		header.Set("Authorization", authorization(r.login, repo))
		url := "https://" + gitLab().Host + "/v2/" + repo + "/manifests/sha256-" + want[len("sha256:"):]
		resp := fetch(t, z, http.MethodGet, url, header)
		got := resp.Header.Get("Docker-Content-Digest")
		if resp.StatusCode != status || status == http.StatusOK && got != want {
			t.Errorf("got status %d and %q, want %d and %s", resp.StatusCode, got, status, want)
		}
	}
}

// TestHarbor_ChallengesForAPasswordAfterAToken stands for clients that take the
// first challenge for the only one: with a token that expired, with one for
// another repository, and with a wrong password.
func TestHarbor_ChallengesForAPasswordAfterAToken(t *testing.T) {
	z := StartZoo(t)
	r, p := z.Registry(harbor().Host), harbor()
	r.Push(t, p.Repository, "1.0.0")
	r.SetPrivate(p.Repository)
	expired := authorization(r.login, p.Repository)
	r.ExpireTokens()
	wrong := p.Password
	wrong.Password = "wrong"
	for reason, header := range map[string]string{
		"a token that expired":   expired,
		"a token of another one": authorization(r.login, "library/other"),
		"a wrong password":       basic(wrong).Get("Authorization"),
	} {
		resp := fetch(t, z, http.MethodGet, "https://"+p.Host+"/v2/"+p.Repository+"/tags/list", http.Header{"Authorization": {header}})
		if got := resp.Header.Get("Www-Authenticate"); resp.StatusCode != http.StatusUnauthorized || got != `Basic realm="harbor"` {
			t.Errorf("%s: got status %d and challenge %q", reason, resp.StatusCode, got)
		}
	}
	resp := fetch(t, z, http.MethodGet, "https://"+p.Host+"/v2/"+p.Repository+"/tags/list", basic(p.Password))
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the password: got status %d", resp.StatusCode)
	}
}
