// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestRetryAfter_ParsesAndBoundsHeader(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cases := map[string]struct {
		reason, header string
		want           time.Duration
	}{
		"Seconds":    {reason: "seconds", header: "120", want: 2 * time.Minute},
		"Zero":       {reason: "the minimum", header: "0", want: minRetryAfter},
		"Fraction":   {reason: "not in the RFC, but used by servers", header: "1.5", want: 1500 * time.Millisecond},
		"Date":       {reason: "an HTTP date", header: "Sun, 01 Mar 2026 12:05:00 GMT", want: 5 * time.Minute},
		"PastDate":   {reason: "a date in the past, as clocks differ", header: "Sun, 01 Mar 2026 11:00:00 GMT", want: minRetryAfter},
		"FarDate":    {reason: "the maximum", header: "Sun, 01 Mar 2099 11:00:00 GMT", want: maxRetryAfter},
		"UnixTime":   {reason: "a Unix time instead of seconds", header: "1772366400", want: maxRetryAfter},
		"Overflow":   {reason: "exceeds a Duration", header: "1e300", want: maxRetryAfter},
		"Negative":   {reason: "invalid", header: "-5", want: defaultRetryAfter},
		"NotANumber": {reason: "invalid", header: "NaN", want: defaultRetryAfter},
		"Empty":      {reason: "absent", header: "", want: defaultRetryAfter},
		"Garbage":    {reason: "invalid", header: "soon", want: defaultRetryAfter},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(retryAfter(tc.header, now)).To(Equal(tc.want), tc.reason)
		})
	}
}
