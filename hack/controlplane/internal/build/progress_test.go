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
		since  time.Duration // the last line
		text   []string
		want   []string
	}{
		"downloading": {reason: "the first build begins with downloads", since: logInterval, text: []string{"go: downloading k8s.io/api v0.36.3\n"}, want: []string{"etcd v3: 1 modules downloaded"}},
		"compiling":   {reason: "packages are counted of those that the cache lacks", total: 4, since: logInterval, text: []string{"runtime\n"}, want: []string{"etcd v3: 1 of 4 packages compiled"}},
		"split lines": {
			reason: "a pipe breaks lines anywhere, and half a line may become anything", total: 4, since: logInterval,
			text: []string{"k8s.io/a", "pi/core/v1\nrunt"}, want: []string{"etcd v3: 1 of 4 packages compiled"},
		},
		"soon after the last line": {reason: "a log has a line every few seconds", total: 4, text: []string{"runtime\n"}},
		"linking":                  {reason: "the last half minute compiles nothing", total: 1, text: []string{"runtime\n"}, want: []string{"etcd v3: linking"}},
		"warnings":                 {reason: "what is no package does not count as one", total: 4, since: logInterval, text: []string{"# k8s.io/api/core/v1\n", "core/v1/types.go:3:1: syntax error\n", "\n"}},
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
	for i := range 2 * keptLines {
		fmt.Fprintf(p, "runtime\nfile.go:%d: wrong\n", i)
	}
	if len(p.other) != keptLines || !strings.HasPrefix(p.other[0], fmt.Sprintf("file.go:%d:", keptLines)) {
		t.Errorf("kept %d lines from %q on; want the last %d", len(p.other), p.other[0], keptLines)
	}
}
