// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// pagesOf serves, for each repository, pages of tags that no other repository
// has. The last page fails where the repository's name says so.
func pagesOf(tags func(repo string) []string, size int) registrytest.Fault {
	return func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		repo := strings.TrimSuffix(strings.TrimPrefix(req.URL.Path, "/v2/"), "/tags/list")
		all := tags(repo)
		start := 0
		if last := req.URL.Query().Get("last"); last != "" {
			_, _ = fmt.Sscanf(last, repo+"-%d", &start)
			start++
		}
		end := min(start+size, len(all))
		if end < len(all) {
			w.Header().Set("Link", fmt.Sprintf(`<%s?last=%s>; rel="next"`, req.URL.Path, all[end-1]))
		}
		body := fmt.Sprintf(`{"name":%q,"tags":["%s"]}`, repo, strings.Join(all[start:end], `","`))
		if end == len(all) && strings.HasPrefix(repo, "cut") {
			body = body[:len(body)/2]
		}
		if end == len(all) && strings.HasPrefix(repo, "odd") {
			body = strings.Replace(body, `"]`, `",7]`, 1)
		}
		_, _ = w.Write([]byte(body))
	}
}

// TestBuffersAreNobodyElses lists repositories of many sizes at once, some of
// which fail in between, and holds on to all that was returned: nothing of it
// may change when the buffers of its bodies are used by others.
func TestBuffersAreNobodyElses(t *testing.T) {
	const workers, rounds = 16, 20
	tagsOf := func(repo string) []string {
		var n int
		_, _ = fmt.Sscanf(repo[3:], "%d", &n)
		tags := make([]string, 3+n*37)
		for i := range tags {
			tags[i] = fmt.Sprintf("%s-%06d", repo, i)
		}
		return tags
	}
	reg := registrytest.Start(t)
	reg.Inject(registrytest.Tags, pagesOf(tagsOf, 100))
	c := newTestClient(t, WithRateLimits(ratelimit.Config{}))
	known := make([]atomic.Pointer[TagList], workers)
	errs := make([]error, workers*rounds)
	lists := make([]TagList, workers*rounds)
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			for round := range rounds {
				repo := fmt.Sprintf("%s%d", []string{"app", "app", "cut", "odd"}[worker%4], worker)
				var before Fingerprint
				if last := known[worker].Load(); last != nil && round%2 == 1 {
					before = last.Fingerprint
				}
				list, err := c.List(t.Context(), parse(t, reg.Image(repo)), AuthOptions{}, before)
				if i := worker*rounds + round; err != nil {
					errs[i] = err
				} else {
					lists[i] = list
					known[worker].Store(&list)
				}
			}
		})
	}
	all.Wait()
	for worker := range workers {
		for round := range rounds {
			checkOwnList(t, worker, round, tagsOf, lists[worker*rounds+round], errs[worker*rounds+round], known[worker].Load())
		}
	}
}

func checkOwnList(t *testing.T, worker, round int, tagsOf func(string) []string, list TagList, err error, known *TagList) {
	t.Helper()
	switch worker % 4 {
	case 2:
		if err == nil || !strings.Contains(err.Error(), "malformed or cut off") {
			t.Errorf("worker %d, round %d: %v", worker, round, err)
		}
	case 3:
		if err == nil || !strings.Contains(err.Error(), "not strings") {
			t.Errorf("worker %d, round %d: %v", worker, round, err)
		}
	default:
		if err != nil || list.Fingerprint != known.Fingerprint || list.Unchanged != (round%2 == 1) {
			t.Fatalf("worker %d, round %d: unchanged %v: %v", worker, round, list.Unchanged, err)
		}
		if diff := cmp.Diff(tagsOf(fmt.Sprintf("app%d", worker)), list.Tags); !list.Unchanged && diff != "" {
			t.Errorf("worker %d, round %d: -want +got:\n%s", worker, round, diff)
		}
	}
}
