// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestOrdinaryClients tests that an ordinary client can push over HTTP, that
// it finds what was pushed in both ways, and that only its requests are logged.
func TestOrdinaryClients(t *testing.T) {
	for login, opt := range map[string]Option{
		"none":  func(*Registry) {},
		"basic": WithBasicAuth("user", "password"),
		"token": WithTokenAuth("user", "password"),
	} {
		t.Run(login, func(t *testing.T) {
			reg := Start(t, opt, WithMaxPage(2))
			want := reg.Push(t, "org/app", "1.0.0")
			reg.PushIndex(t, "org/app", "2.0.0", "linux/amd64", "linux/arm64")
			if n := reg.Count(Any); n != 0 {
				t.Errorf("got %d requests logged before there was one", n)
			}
			auth := remote.WithAuth(&authn.Basic{Username: "user", Password: "password"})
			tag, err := name.NewTag(reg.Image("org/app") + ":3.0.0")
			if err != nil {
				t.Fatal(err)
			}
			if err := remote.Write(tag, randomImage(t), auth); err != nil {
				t.Fatal(err)
			}
			tags, err := remote.List(tag.Repository, auth)
			if diff := cmp.Diff([]string{"1.0.0", "2.0.0", "3.0.0"}, tags); err != nil || diff != "" {
				t.Errorf("error %v, -want +got:\n%s", err, diff)
			}
			reg.Retag(t, "org/app", "1.0.0", "2.0.0")
			reg.Delete(t, "org/app", "1.0.0")
			got, err := remote.Head(tag.Tag("2.0.0"), auth)
			if err != nil || got.Digest.String() != want {
				t.Errorf("got %v, error %v, want %s", got, err, want)
			}
			if reg.Count(Tags) != 2 || reg.Count(ManifestHead) == 0 {
				t.Errorf("got requests %v", reg.Counts())
			}
		})
	}
}

func TestFaultsCanBeTakenBack(t *testing.T) {
	reg := Start(t)
	status := func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+reg.Host()+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	var got []int
	remove := reg.Inject(Ping, Status(500, ""))
	got = append(got, status())
	reg.Inject(Any, Times(1, Status(418, "")))
	got = append(got, status(), status())
	remove()
	reg.Inject(Tags, Status(500, ""))
	got = append(got, status())
	reg.Inject(Any, Status(501, ""))
	reg.Heal()
	got = append(got, status())
	// The fault that was injected last counts, also where it lets a request pass.
	if diff := cmp.Diff([]int{500, 418, 200, 200, 200}, got); diff != "" {
		t.Errorf("statuses, -want +got:\n%s", diff)
	}
}
