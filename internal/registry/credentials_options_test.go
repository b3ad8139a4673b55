// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
)

func TestIdentity_DependsOnCredentialsAndRegistry(t *testing.T) {
	ghcr, other := parse(t, "ghcr.io/org/app"), parse(t, "ghcr.io/org/other")
	base := NewAuthOptions(ghcr, authn.AuthConfig{Username: "u", Password: "p"}, "x")
	cases := map[string]struct {
		reason string
		auth   AuthOptions
		same   bool
	}{
		"Equal":      {reason: "equal credentials", auth: NewAuthOptions(ghcr, authn.AuthConfig{Username: "u", Password: "p"}, "x"), same: true},
		"Origin":     {reason: "the origin of credentials doesn't matter", auth: NewAuthOptions(ghcr, authn.AuthConfig{Username: "u", Password: "p"}, "y"), same: true},
		"Repository": {reason: "credentials are per registry, not per repository", auth: NewAuthOptions(other, authn.AuthConfig{Username: "u", Password: "p"}, "x"), same: true},
		"Password":   {reason: "a changed Secret is another identity", auth: NewAuthOptions(ghcr, authn.AuthConfig{Username: "u", Password: "q"}, "x")},
		"Shifted":    {reason: "fields are separated", auth: NewAuthOptions(ghcr, authn.AuthConfig{Username: "up", Password: ""}, "x")},
		"Token":      {reason: "tokens are part of the identity", auth: NewAuthOptions(ghcr, authn.AuthConfig{Username: "u", Password: "p", IdentityToken: "t"}, "x")},
		"Registry":   {reason: "another registry", auth: NewAuthOptions(parse(t, "quay.io/org/app"), authn.AuthConfig{Username: "u", Password: "p"}, "x")},
		"Anonymous":  {reason: "no credentials", auth: AuthOptions{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(tc.auth.Identity() == base.Identity()).To(Equal(tc.same), "%s: the identity", tc.reason)
		})
	}
	if a, b := credentials.AnonymousBecause("a"), (AuthOptions{}); a.Identity() != b.Identity() || !a.IsAnonymous() {
		t.Error("all anonymous identities are the same")
	}
}

func TestAuthOptions_HideCredentialsInOutput(t *testing.T) {
	g := NewWithT(t)
	auth := NewAuthOptions(parse(t, "ghcr.io/org/app"), authn.AuthConfig{Username: "u", Password: canary, Auth: canary}, "")
	encoded, err := json.Marshal(map[string]any{"auth": auth})
	g.Expect(err).NotTo(HaveOccurred())
	texts := []string{string(encoded)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, auth), fmt.Sprintf(verb, &auth), fmt.Sprintf(verb, []AuthOptions{auth}))
	}
	for _, text := range texts {
		g.Expect(text).NotTo(ContainSubstring(canary), "the output must not contain credentials")
		g.Expect(text).NotTo(ContainSubstring(fmt.Sprintf("%x", canary)), "the output must not contain credentials")
	}
}
