// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// TestBuffersAreNobodyElses lists repositories of many sizes at once, some of
// which fail in between, and holds on to all that was returned: nothing of it
// may change when the buffers of its bodies are used by others.
func TestBuffersAreNobodyElses(t *testing.T) {
	const workers, rounds = 16, 20
	reg := registrytest.Start(t, registrytest.WithMaxPage(100))
	reg.Inject(registrytest.Tags, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if strings.Contains(req.URL.Path, "cut") && req.URL.Query().Has("last") {
			registrytest.Truncate(30)(w, req, next)
			return
		}
		next.ServeHTTP(w, req)
	})
	c := newTestClient(t, WithRateLimits(ratelimit.Config{}))
	wants, lists := make([][]string, workers), make([][]TagList, workers)
	var all sync.WaitGroup
	for worker := range workers {
		repo := fmt.Sprintf("%s%d", []string{"app", "app", "app", "cut"}[worker%4], worker)
		for i := range 3 + 37*worker {
			wants[worker] = append(wants[worker], fmt.Sprintf("%s-%06d", repo, i))
		}
		reg.PushTags(t, repo, wants[worker]...)
		lists[worker] = make([]TagList, rounds)
		all.Go(func() {
			for round := range rounds {
				var known Fingerprint
				if round%2 == 1 {
					known = lists[worker][round-1].Fingerprint
				}
				list, err := c.List(t.Context(), parse(t, reg.Image(repo)), AuthOptions{}, known)
				if cut := worker%4 == 3; (err != nil) != cut || !cut && list.Unchanged != (round%2 == 1) {
					t.Errorf("worker %d, round %d: unchanged %v: %v", worker, round, list.Unchanged, err)
				}
				lists[worker][round] = list
			}
		})
	}
	all.Wait()
	checkLists(t, wants, lists)
}

// checkLists checks the lists of each worker whose repository never fails.
func checkLists(t *testing.T, wants [][]string, lists [][]TagList) {
	t.Helper()
	for worker, want := range wants {
		for round, list := range lists[worker] {
			if diff := cmp.Diff(want, list.Tags); worker%4 != 3 && !list.Unchanged && diff != "" {
				t.Errorf("worker %d, round %d: -want +got:\n%s", worker, round, diff)
			}
		}
	}
}
