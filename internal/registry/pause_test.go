// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// TestPausesOfBothKinds tests that whatever a registry says in Retry-After, to
// whichever operation, at whichever request, all operations keep to it: no
// request is made before, and all work after.
func TestPausesOfBothKinds(t *testing.T) {
	date := func(d time.Duration) string {
		return registrytest.NewClock().Now().Add(d).Format("Mon, 02 Jan 2006 15:04:05 GMT")
	}
	pauses := map[string]struct {
		reason, header string
		code           int
		want           time.Duration
		wantReason     string
	}{
		"Seconds":     {reason: "the usual form", code: 429, header: "90", want: 90 * time.Second, wantReason: v1.RateLimitedReason},
		"Date":        {reason: "the other form", code: 429, header: date(5 * time.Minute), want: 5 * time.Minute, wantReason: v1.RateLimitedReason},
		"Absent":      {reason: "the default", code: 429, want: time.Minute, wantReason: v1.RateLimitedReason},
		"Unavailable": {reason: "not only 429", code: 503, header: "90", want: 90 * time.Second, wantReason: v1.ReadOperationFailedReason},
	}
	for name, tc := range pauses {
		for operation, read := range readers {
			for _, kind := range []registrytest.Kind{registrytest.Ping, registrytest.Token, registrytest.Any} {
				t.Run(name+"/"+operation+"/"+string(kind), func(t *testing.T) {
					g := NewWithT(t)
					reg, img := start(t, registrytest.WithTokenAuth("user", canary))
					clock := registrytest.NewClock()
					c := newTestClient(t, withClock(clock))
					heal := reg.Inject(kind, registrytest.RetryAfter(tc.code, tc.header))
					err := read(t.Context(), c, img, login(img))
					checkError(t, err, tc.wantReason)
					g.Expect(errorOf(t, err).RetryAfter).To(Equal(tc.want), "%s: the pause", tc.reason)
					heal()
					reg.Reset()
					clock.Advance(tc.want - time.Millisecond)
					for other, read := range readers {
						err := read(t.Context(), c, img, AuthOptions{}) // somebody else
						checkError(t, err, tc.wantReason)
						if got := errorOf(t, err).RetryAfter; got <= 0 || got > tc.want+30*time.Second {
							t.Errorf("%s: %s is to come back after %v", tc.reason, other, got)
						}
					}
					g.Expect(reg.Count(registrytest.Any)).To(BeZero(), "%s: requests were made before its end", tc.reason)
					clock.Advance(time.Millisecond)
					for other, read := range readers {
						clock.Advance(time.Second) // there is no burst after a pause
						g.Expect(read(t.Context(), c, img, login(img))).To(Succeed(), "%s: %s afterwards", tc.reason, other)
					}
				})
			}
		}
	}
}
