// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestCoalesce_EndsDelaysTogether(t *testing.T) {
	for _, c := range []struct{ name, delay, now, want string }{
		{"next multiple", "10s", "70ms", "10.18s"},
		{"a nanosecond too late", "10s", "250000001ns", "10.249999999s"},
		{"already a multiple", "10s", "500ms", "10s"},
		{"a retry is exact", "3.999s", "70ms", "3.999s"},
		{"no requeue", "0s", "70ms", "0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := NewWithT(t)
			duration := func(text string) time.Duration {
				d, err := time.ParseDuration(text)
				g.Expect(err).NotTo(HaveOccurred())
				return d
			}
			g.Expect(coalesce(duration(c.delay), duration(c.now))).To(Equal(duration(c.want)))
		})
	}
}

func TestCoalesce_NeverShortensDelays(t *testing.T) {
	g := NewWithT(t)
	for now := time.Duration(0); now < 3*slack; now += 7 * time.Millisecond {
		for delay := minCoalesced; delay < minCoalesced+2*slack; delay += 11 * time.Millisecond {
			extended := coalesce(delay, now)
			g.Expect(extended).To(And(BeNumerically(">=", delay), BeNumerically("<", delay+slack)))
			g.Expect((now + extended) % slack).To(BeZero())
		}
	}
}
