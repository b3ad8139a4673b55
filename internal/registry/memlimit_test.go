// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/sync/semaphore"

	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// TestReadBudget_LimitsLargeResponses tests that only some large lists are read at the same time,
// that small lists don't wait for them, and that all are read in the end.
func TestReadBudget_LimitsLargeResponses(t *testing.T) {
	g := NewWithT(t)
	checkGoroutines(t)
	reg, small := start(t)
	started, proceed := make(chan struct{}, 3*maxLarge), make(chan struct{})
	reg.Inject(registrytest.Tags, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if !strings.Contains(req.URL.Path, "large") {
			next.ServeHTTP(w, req)
			return
		}
		_, _ = io.WriteString(w, `{"name":"`+strings.Repeat("x", 7*largeRead))
		started <- struct{}{} // the data exceeds all buffers, so the client has read it
		<-proceed
		_, _ = io.WriteString(w, `","tags":["1.0.0"]}`)
	})
	c := newTestClient(t, WithRateLimits(ratelimit.Config{}))
	var wg sync.WaitGroup
	for range 3 * maxLarge {
		wg.Go(func() {
			if tags, err := c.ListTags(t.Context(), parse(t, reg.Image("large")), AuthOptions{}); err != nil || len(tags) != 1 {
				t.Errorf("got %q, error %v", tags, err)
			}
		})
	}
	for range maxLarge {
		<-started
	}
	g.Expect(c.large.TryAcquire(1)).To(BeFalse(), "fewer than %d large lists are read", maxLarge)
	g.Expect(c.ListTags(t.Context(), small, AuthOptions{})).To(HaveLen(2), "small list")
	if n := len(started); n != 0 {
		t.Errorf("%d more than %d large lists were read", n, maxLarge)
	}
	close(proceed)
	wg.Wait()
	g.Expect(c.large.TryAcquire(maxLarge)).To(BeTrue(), "not all tickets were released")
}

// TestReadBudget_StopsOnCancel tests that waiting ends when the context is canceled.
func TestReadBudget_StopsOnCancel(t *testing.T) {
	g := NewWithT(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := readBudget{ctx: ctx, large: semaphore.NewWeighted(0)}
	n, err := io.Copy(io.Discard, b.reader(strings.NewReader(strings.Repeat("x", 2*largeRead))))
	g.Expect(err).To(MatchError(context.Canceled), "read")
	g.Expect(n).To(BeNumerically(">=", largeRead), "read")
	b.release()
}
