// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
)

func TestIdentity(t *testing.T) {
	ghcr, other := parse(t, "ghcr.io/org/app"), parse(t, "ghcr.io/org/other")
	base := NewAuthOptions(ghcr, authn.AuthConfig{Username: "u", Password: "p"}, "x")
	cases := map[string]struct {
		reason string
		auth   AuthOptions
		same   bool
	}{
		"Equal":      {reason: "equal credentials", auth: NewAuthOptions(ghcr, authn.AuthConfig{Username: "u", Password: "p"}, "x"), same: true},
		"Origin":     {reason: "where they are from does not matter to a connection", auth: NewAuthOptions(ghcr, authn.AuthConfig{Username: "u", Password: "p"}, "y"), same: true},
		"Repository": {reason: "they are one registry's, whatever the repository", auth: NewAuthOptions(other, authn.AuthConfig{Username: "u", Password: "p"}, "x"), same: true},
		"Password":   {reason: "a changed Secret is another identity", auth: NewAuthOptions(ghcr, authn.AuthConfig{Username: "u", Password: "q"}, "x")},
		"Shifted":    {reason: "fields do not run into each other", auth: NewAuthOptions(ghcr, authn.AuthConfig{Username: "up", Password: ""}, "x")},
		"Token":      {reason: "tokens count", auth: NewAuthOptions(ghcr, authn.AuthConfig{Username: "u", Password: "p", IdentityToken: "t"}, "x")},
		"Registry":   {reason: "another registry", auth: NewAuthOptions(parse(t, "quay.io/org/app"), authn.AuthConfig{Username: "u", Password: "p"}, "x")},
		"Anonymous":  {reason: "no credentials", auth: AuthOptions{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if same := tc.auth.Identity() == base.Identity(); same != tc.same {
				t.Errorf("%s: got same identity %v, want %v", tc.reason, same, tc.same)
			}
		})
	}
	if a, b := credentials.AnonymousBecause("a"), (AuthOptions{}); a.Identity() != b.Identity() || !a.IsAnonymous() {
		t.Error("all anonymous identities are the same")
	}
}

func TestNoVerbPrintsCredentials(t *testing.T) {
	auth := NewAuthOptions(parse(t, "ghcr.io/org/app"), authn.AuthConfig{Username: "u", Password: canary, Auth: canary}, "")
	encoded, err := json.Marshal(map[string]any{"auth": auth})
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{string(encoded)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, auth), fmt.Sprintf(verb, &auth), fmt.Sprintf(verb, []AuthOptions{auth}))
	}
	for _, text := range texts {
		if strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) {
			t.Errorf("credentials are printed: %s", text)
		}
	}
}
