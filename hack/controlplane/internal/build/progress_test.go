// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// event is a text that the go command prints at a time after the start.
type event struct {
	at   time.Duration
	text string
}

const second = time.Second

func TestProgress_LogsCompiledPackages(t *testing.T) {
	sizes := map[string]int64{"runtime": 1, "k8s.io/api/core/v1": 100, "k8s.io/client-go/rest": 50, "k8s.io/kubernetes/main": 50}
	cases := map[string]struct {
		reason string
		list   map[string]int64
		events []event
		want   []string
	}{
		"downloading": {
			reason: "the first build begins with downloads",
			events: []event{{11 * second, "go: downloading k8s.io/api v0.36.3\n"}}, want: []string{"etcd v3: 1 modules downloaded"},
		},
		"short": {
			reason: "a short build needs no estimate", list: sizes,
			events: []event{{0, "runtime\n"}, {second, "k8s.io/client-go/rest\n"}}, want: []string{"etcd v3: compiling"},
		},
		"weighed": {
			reason: "half of the sources took 30 s, so the rest takes 30 s, although it is two of three packages", list: sizes,
			events: []event{{0, "runtime\n"}, {4 * second, "net\n"}, {34 * second, "k8s.io/api/core/v1\n"}},
			want:   []string{"etcd v3: compiling", "etcd v3: 3 of 5 packages compiled, less than a minute left"},
		},
		"minutes": {
			reason: "minutes are precise enough", list: sizes,
			events: []event{{0, "runtime\n"}, {4 * second, "net\n"}, {124 * second, "k8s.io/client-go/rest\n"}, {244 * second, "fmt\n"}},
			want:   []string{"etcd v3: compiling", "etcd v3: 3 of 5 packages compiled, about 6 min left", "etcd v3: 4 of 6 packages compiled, about 12 min left"},
		},
		"split lines": {
			reason: "a pipe splits lines anywhere",
			events: []event{{0, "k8s.io/a"}, {0, "pi/core/v1\nrunt"}, {11 * second, "ime\n"}}, want: []string{"etcd v3: compiling", "etcd v3: 2 packages compiled"},
		},
		"linking": {
			reason: "linking takes half a minute without compiled packages", list: map[string]int64{"runtime": 1, "fmt": 1},
			events: []event{{0, "runtime\n"}, {4 * second, "net\n"}, {5 * second, "fmt\n"}}, want: []string{"etcd v3: compiling", "etcd v3: linking"},
		},
		"no list": {
			reason: "the count is still useful",
			events: []event{{0, "runtime\n"}, {4 * second, "net\n"}, {14 * second, "fmt\n"}}, want: []string{"etcd v3: compiling", "etcd v3: 3 packages compiled"},
		},
		"silence":  {reason: "an empty event is a tick: the go command may print nothing for minutes", events: []event{{9 * second, ""}, {11 * second, ""}, {12 * second, ""}}, want: []string{"etcd v3: looking for packages to compile"}},
		"warnings": {reason: "other lines are not counted", events: []event{{11 * second, "# k8s.io/api/core/v1\ncore/v1/types.go:3:1: syntax error\n\n"}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := logged(t, tc.list, tc.events); !slices.Equal(got, tc.want) {
				t.Errorf("logged %q; want %q: %s", got, tc.want, tc.reason)
			}
		})
	}
}

// logged returns the log lines of a progress. A list that is nil can't be read.
func logged(t *testing.T, list map[string]int64, events []event) []string {
	t.Helper()
	var lines []string
	start := time.Now()
	now := start
	p := newProgress("etcd v3", func(line string) { lines = append(lines, line) }, func() (map[string]int64, error) {
		if list == nil {
			return nil, errors.New("go list failed")
		}
		remaining := map[string]int64{}
		for pkg, size := range list {
			remaining[pkg] = size
		}
		return remaining, nil
	})
	p.last, p.now = start, func() time.Time { return now }
	for _, e := range events {
		now = start.Add(e.at)
		if e.text == "" {
			p.tick()
		}
		if n, err := io.WriteString(p, e.text); n != len(e.text) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", e.text, n, err)
		}
		p.end() // the list is read now
	}
	return lines
}

func TestProgress_KeepsTheLastErrors(t *testing.T) {
	p := newProgress("etcd v3", func(string) {}, func() (map[string]int64, error) { return nil, nil })
	for i := range 2 * maxErrorLines {
		fmt.Fprintf(p, "runtime\nfile.go:%d: error\n", i)
	}
	if len(p.other) != maxErrorLines || !strings.HasPrefix(p.other[0], fmt.Sprintf("file.go:%d:", maxErrorLines)) {
		t.Errorf("kept %d lines starting with %q; want the last %d", len(p.other), p.other[0], maxErrorLines)
	}
}
