// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
