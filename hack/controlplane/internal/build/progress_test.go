// SPDX-License-Identifier: Apache-2.0

package build

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestProgress_LogsCompiledPackages(t *testing.T) {
	cases := map[string]struct {
		reason string
		total  int
		since  time.Duration // since the last log line
		text   []string
		want   []string
	}{
		"downloading": {reason: "the first build begins with downloads", since: logInterval, text: []string{"go: downloading k8s.io/api v0.36.3\n"}, want: []string{"etcd v3: 1 modules downloaded"}},
		"compiling":   {reason: "the total is the number of packages that are not cached", total: 4, since: logInterval, text: []string{"runtime\n"}, want: []string{"etcd v3: 1 of 4 packages compiled"}},
		"split lines": {
			reason: "a pipe splits lines anywhere", total: 4, since: logInterval,
			text: []string{"k8s.io/a", "pi/core/v1\nrunt"}, want: []string{"etcd v3: 1 of 4 packages compiled"},
		},
		"within the interval": {reason: "the interval limits log lines", total: 4, text: []string{"runtime\n"}},
		"linking":             {reason: "linking takes half a minute without compiled packages", total: 1, text: []string{"runtime\n"}, want: []string{"etcd v3: linking"}},
		"warnings":            {reason: "other lines are not counted", total: 4, since: logInterval, text: []string{"# k8s.io/api/core/v1\n", "core/v1/types.go:3:1: syntax error\n", "\n"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var logged []string
			p := &progress{name: "etcd v3", total: tc.total, last: time.Now().Add(-tc.since), log: func(line string) { logged = append(logged, line) }}
			for _, text := range tc.text {
				if n, err := io.WriteString(p, text); n != len(text) || err != nil {
					t.Fatalf("Write(%q) = %d, %v", text, n, err)
				}
			}
			if !slices.Equal(logged, tc.want) {
				t.Errorf("logged %q; want %q: %s", logged, tc.want, tc.reason)
			}
		})
	}
}

func TestProgress_KeepsTheLastErrors(t *testing.T) {
	p := &progress{log: func(string) {}, last: time.Now()}
	for i := range 2 * maxErrorLines {
		fmt.Fprintf(p, "runtime\nfile.go:%d: error\n", i)
	}
	if len(p.other) != maxErrorLines || !strings.HasPrefix(p.other[0], fmt.Sprintf("file.go:%d:", maxErrorLines)) {
		t.Errorf("kept %d lines starting with %q; want the last %d", len(p.other), p.other[0], maxErrorLines)
	}
}
