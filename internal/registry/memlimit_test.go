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

// TestReadBudget_LimitsLargeResponses tests that large lists wait for each other, that
// others don't wait for them, and that all are read in the end.
func TestReadBudget_LimitsLargeResponses(t *testing.T) {
	g := NewWithT(t)
	checkGoroutines(t)
	reg, small := start(t)
	begun, goOn := make(chan struct{}, 3*maxLarge), make(chan struct{})
	reg.Inject(registrytest.Tags, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if !strings.Contains(req.URL.Path, "large") {
			next.ServeHTTP(w, req)
			return
		}
		_, _ = io.WriteString(w, `{"name":"`+strings.Repeat("x", 7*largeRead))
		begun <- struct{}{} // what was sent fits into no buffer on the way, so it was read
		<-goOn
		_, _ = io.WriteString(w, `","tags":["1.0.0"]}`)
	})
	c := newTestClient(t, WithRateLimits(ratelimit.Config{}))
	var all sync.WaitGroup
	for range 3 * maxLarge {
		all.Go(func() {
			if tags, err := c.ListTags(t.Context(), parse(t, reg.Image("large")), AuthOptions{}); err != nil || len(tags) != 1 {
				t.Errorf("got %q, error %v", tags, err)
			}
		})
	}
	for range maxLarge {
		<-begun
	}
	g.Expect(c.large.TryAcquire(1)).To(BeFalse(), "fewer than %d are large", maxLarge)
	g.Expect(c.ListTags(t.Context(), small, AuthOptions{})).To(HaveLen(2), "a small list waits")
	if n := len(begun); n != 0 {
		t.Errorf("%d more than %d large lists were read", n, maxLarge)
	}
	close(goOn)
	all.Wait()
	g.Expect(c.large.TryAcquire(maxLarge)).To(BeTrue(), "not all were released")
}

// TestReadBudget_StopsOnCancel tests that waiting ends with the operation's time.
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
