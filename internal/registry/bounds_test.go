// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// TestClient_BoundsTransports tests that ten thousand repositories, each with its own proxy or
// certificates, use a limited number of connections and files.
func TestClient_BoundsTransports(t *testing.T) {
	g := NewWithT(t)
	const maxTransports = 64 // of transport.Pool
	checkGoroutines(t)
	reg, img := start(t)
	c := newTestClient(t, WithRateLimits(ratelimit.Config{}))
	files := openFiles(t)
	for i := range 10_000 {
		g.Expect(c.Digest(t.Context(), img, "1.0.0", via(fmt.Sprint(i), nil, nil))).Error().NotTo(HaveOccurred())
	}
	// They are used sequentially, so each keeps one connection. A few more may still be closing.
	g.Expect(reg.PeakConnections()).To(BeNumerically("<=", maxTransports+32), "connections open at the same time")
	if count := openFiles(t) - files; count > 2*(maxTransports+32) { // including the registry's ends
		t.Errorf("%d files were opened and not closed", count)
	}
}

// TestClient_BoundsIdleConnections tests that the number of idle connections to many registries is
// limited.
func TestClient_BoundsIdleConnections(t *testing.T) {
	checkGoroutines(t)
	reg := registrytest.Start(t)
	reg.Push(t, "app", "1.0.0")
	clock := registrytest.NewClock()
	c := newTestClient(t, withClock(clock))
	c.pool.Transport(transport.Config{}).DialContext = dialTo(reg.Host())
	for i := range 2048 {
		img := parse(t, fmt.Sprintf("10.1.%d.%d:5000/app", i/256, i%256)) // uses plain HTTP
		NewWithT(t).Expect(c.Digest(t.Context(), img, "1.0.0", AuthOptions{})).Error().NotTo(HaveOccurred())
		clock.Advance(time.Second)
	}
	if n := reg.PeakConnections(); n > c.pool.Transport(transport.Config{}).MaxIdleConns+32 {
		t.Errorf("%d connections were open at the same time, want about %d", n, c.pool.Transport(transport.Config{}).MaxIdleConns)
	}
}

// TestClient_BoundsSessions tests that the number of cached sessions, with their capabilities and
// tokens, is limited.
func TestClient_BoundsSessions(t *testing.T) {
	g := NewWithT(t)
	c := newTestClient(t)
	before := heap()
	for i := range maxSessions + 10_000 {
		c.session(parse(t, fmt.Sprintf("registry.example.com/app-%d", i)), AuthOptions{}).capabilities.refusesPageSize.Store(true)
	}
	g.Expect(len(c.sessions.Values())).To(Equal(maxSessions), "sessions")
	g.Expect((heap()-before)/maxSessions).To(BeNumerically("<=", 3000), "a session without a token takes")
	g.Expect(c.session(parse(t, "registry.example.com/app-0"), AuthOptions{}).capabilities.refusesPageSize.Load()).To(BeFalse(), "the oldest session is still cached")
}

// TestListTags_DoesNotShareBuffers lists repositories of many sizes concurrently, some of which
// fail, and keeps all results: they must not change when their buffers are reused.
func TestListTags_DoesNotShareBuffers(t *testing.T) {
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
	var wg sync.WaitGroup
	for worker := range workers {
		repo := fmt.Sprintf("%s%d", []string{"app", "app", "app", "cut"}[worker%4], worker)
		for i := range 3 + 37*worker {
			wants[worker] = append(wants[worker], fmt.Sprintf("%s-%06d", repo, i))
		}
		reg.PushTags(t, repo, wants[worker]...)
		lists[worker] = make([]TagList, rounds)
		wg.Go(func() {
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
	wg.Wait()
	checkLists(t, wants, lists)
}

// checkLists checks the lists of the workers whose repository never fails.
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
