// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// say writes what a go command might.
func say(t *testing.T, meter *Meter, text string) {
	t.Helper()
	if n, err := io.WriteString(meter, text); n != len(text) || err != nil {
		t.Fatalf("Write(%q) = %d, %v", text, n, err)
	}
}

var statuses = map[string]struct {
	reason string
	total  int
	said   []string
	want   string
}{
	"asking": {
		reason: "a total is not known before the build cache was asked",
		total:  unknown,
		want:   "etcd v3: finding out what to compile, 1m5s",
	},
	"downloading": {
		reason: "the first build spends its first minute on downloads",
		total:  unknown,
		said:   []string{"go: downloading k8s.io/api v0.36.3\n", "go: downloading k8s.io/utils v0.1.0\n"},
		want:   "etcd v3: 2 modules downloaded, 1m5s",
	},
	"compiling": {
		reason: "packages are counted against what the cache does not hold",
		total:  4,
		said:   []string{"go: downloading k8s.io/api v0.36.3\n", "runtime\n", "k8s.io/api/core/v1\n"},
		want:   "etcd v3: 2 of 4 packages compiled, 1m5s",
	},
	"split lines": {
		reason: "a pipe breaks lines anywhere",
		total:  4,
		said:   []string{"k8s.io/a", "pi/core/v1\nrunt", "ime", "\n"},
		want:   "etcd v3: 2 of 4 packages compiled, 1m5s",
	},
	"unfinished line": {
		reason: "half a line may become anything",
		total:  4,
		said:   []string{"runtime\nk8s.io/a"},
		want:   "etcd v3: 1 of 4 packages compiled, 1m5s",
	},
	"linking": {
		reason: "the last half minute compiles nothing",
		total:  1,
		said:   []string{"runtime\n"},
		want:   "etcd v3: linking, 1m5s",
	},
	"all cached": {
		reason: "with nothing to compile, linking starts at once",
		want:   "etcd v3: linking, 1m5s",
	},
	"warnings": {
		reason: "what is no package does not count as one",
		total:  4,
		said:   []string{"# k8s.io/api/core/v1\n", "core/v1/types.go:3:1: syntax error\n", "\n", "runtime\n"},
		want:   "etcd v3: 1 of 4 packages compiled, 1m5s",
	},
}

func TestStatus(t *testing.T) {
	for name, tc := range statuses {
		t.Run(name, func(t *testing.T) {
			meter := NewMeter("etcd v3", start)
			meter.SetTotal(tc.total)
			for _, s := range tc.said {
				say(t, meter, s)
			}
			if got := meter.Status(start.Add(65 * time.Second)); got != tc.want {
				t.Errorf("Status = %q; want %q: %s", got, tc.want, tc.reason)
			}
		})
	}
}

func TestTail(t *testing.T) {
	meter := NewMeter("etcd", start)
	for i := range 2 * tailLines {
		say(t, meter, fmt.Sprintf("runtime\nfile.go:%d: wrong\n", i))
	}
	say(t, meter, "killed: no newline")

	lines := strings.Split(meter.Tail(), "\n")
	if len(lines) != tailLines+1 {
		t.Errorf("Tail has %d lines; want the last %d and the unfinished one", len(lines), tailLines)
	}
	if first, want := lines[0], fmt.Sprintf("file.go:%d: wrong", tailLines); first != want {
		t.Errorf("Tail starts with %q; want %q", first, want)
	}
	if last := lines[len(lines)-1]; last != "killed: no newline" {
		t.Errorf("Tail ends with %q; want what was written last", last)
	}
}

func TestDisplay(t *testing.T) {
	cases := map[string]struct {
		reason   string
		terminal bool
		want     string
	}{
		"log":      {reason: "each status is a line of its own", want: "one\ntwo\n"},
		"terminal": {reason: "one line is refreshed, and gone at the end", terminal: true, want: "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[K"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			ticks, quit, done := make(chan time.Time), make(chan struct{}), make(chan struct{})
			texts := []string{"one", "two"}
			go func() {
				defer close(done)
				Display{out: &out, terminal: tc.terminal}.loop(ticks, quit, func(time.Time) string {
					next := texts[0]
					texts = texts[1:]
					return next
				})
			}()
			ticks <- start
			ticks <- start
			close(quit)
			<-done
			if got := out.String(); got != tc.want {
				t.Errorf("wrote %q; want %q: %s", got, tc.want, tc.reason)
			}
		})
	}
}
