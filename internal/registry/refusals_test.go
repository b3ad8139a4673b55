// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// TestListTags_ALoginThatFailsIsNoRefusalOfASize tests that a token server whose error
// has the status by which registries refuse the size of a page is asked once.
func TestListTags_ALoginThatFailsIsNoRefusalOfASize(t *testing.T) {
	for _, status := range []int{400, 405, 413, 416, 422} {
		reg, img := start(t, registrytest.WithTokenAuth("user", canary))
		reg.Inject(registrytest.Token, registrytest.Status(status, ""))
		_, err := newTestClient(t).ListTags(t.Context(), img, login(img))
		if e := errorOf(t, err); e.StatusCode != status || reg.Count(registrytest.Token) != 1 {
			t.Errorf("%d: got %v, and %d requests for a token", status, err, reg.Count(registrytest.Token))
		}
	}
}

// TestSession_DropsARefusedToken tests that an operation which can't renew its token
// does not keep the next ones from getting one: the challenge names a scope that the
// token server refuses, another token server that is gone, or none at all.
func TestSession_DropsARefusedToken(t *testing.T) {
	cases := map[string]struct{ reason, challenge string }{
		"Scope": {reason: "a placeholder (cloudflare/serverless-registry#148)", challenge: `Bearer realm="http://HOST/token",service="registrytest",scope="placeholder"`},
		"Realm": {reason: "a realm that has no token server", challenge: `Bearer realm="http://HOST/gone"`},
		"None":  {reason: "no realm", challenge: "Bearer"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reg, img := start(t, registrytest.WithTokenAuth("user", canary))
			c := newTestClient(t)
			requestsOfAList(t, c, reg, img, login(img))
			reg.ExpireTokens()
			reg.Inject(registrytest.Tags, registrytest.Times(1, challenge(strings.Replace(tc.challenge, "HOST", img.Host(), 1))))
			reg.Inject(registrytest.Token, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
				if req.FormValue("scope") == "placeholder" {
					w.WriteHeader(http.StatusBadRequest)
					return
				}
				next.ServeHTTP(w, req)
			})
			_, err := c.ListTags(t.Context(), img, login(img))
			_ = errorOf(t, err)
			requests := requestsOfAList(t, c, reg, img, login(img))
			NewWithT(t).Expect(requests[registrytest.Tags]).To(Equal(1), "%s: the refused token was sent again: %v", tc.reason, requests)
		})
	}
}
