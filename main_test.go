// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	. "github.com/onsi/gomega"
	flag "github.com/spf13/pflag"
)

func TestDelaysMustBePositive(t *testing.T) {
	for _, tc := range []struct {
		reason, arg, want string
	}{
		{"the defaults are good", "--concurrent=4", ""},
		{"a registry that is down must not be asked in a loop", "--max-retry-delay=0s", "--max-retry-delay is 0s"},
		{"nor by the first retries", "--min-retry-delay=-1s", "--min-retry-delay is -1s"},
		{"what is waited for must be looked at again", "--requeue-dependency=0s", "--requeue-dependency is 0s"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			g := NewWithT(t)
			var f flags
			fs := flag.NewFlagSet("test", flag.ContinueOnError)
			f.bind(fs)
			g.Expect(fs.Parse([]string{tc.arg})).To(Succeed())
			if tc.want == "" {
				g.Expect(f.checkDelays()).To(Succeed())
				return
			}
			g.Expect(f.checkDelays()).To(MatchError(ContainSubstring(tc.want)))
		})
	}
}
