// SPDX-License-Identifier: Apache-2.0

//go:build linux

package store

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
)

// killAt is the environment variable with the number of the system call at which a process is
// killed.
const killAt = "STORE_KILL_AT"

// TestStore_SurvivesKillAtEverySystemCall kills processes at each of the system calls that create,
// write and remove files of a store.
func TestStore_SurvivesKillAtEverySystemCall(t *testing.T) {
	g := NewWithT(t)
	stride := 8
	if n, err := strconv.Atoi(os.Getenv(killsEnv)); err == nil && n >= 200 {
		stride = 1
	}
	for at := 0; ; at += stride {
		fixture := newCrashFixture(t)
		out, err := underFaults(t, fixture.dir, runUntilKilled, killAt+"="+strconv.Itoa(at))
		if os.Getenv(faultDir) != "" {
			return
		}
		for line := range strings.Lines(out) {
			if _, ack, ok := strings.Cut(line, "ack "); ok {
				fixture.record(t, ack)
			}
		}
		if _, err := fixture.verify(t); err != nil {
			t.Fatalf("killed at call %d: %v\n%s", at, err, out)
		}
		if err == nil { // all steps were completed
			t.Logf("%d calls, killed at every %d. one", at, stride)
			g.Expect(at).To(BeNumerically(">=", 100), "calls and steps")
			g.Expect(fixture.steps).To(Equal(killSteps), "calls and steps")
			return
		}
	}
}

const killSteps = 60

func runUntilKilled(dir string, f *faults) {
	at, err := strconv.Atoi(os.Getenv(killAt))
	if err != nil {
		panic(err)
	}
	f.set(func(call) syscall.Errno {
		if at--; at < 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return 0
	})
	tags := New(dir, Options{Report: func(r Report) { fmt.Println("ack report", r.Kind) }})
	if at%2 == 1 || at%16 == 0 {
		IndexAllFacts(tags)
	}
	for n := range killSteps {
		if err := step(tags, 0, n, model{}); err != nil {
			panic(err)
		}
		fmt.Println("ack", 0, n)
	}
	if err := tags.Close(); err != nil {
		panic(err)
	}
	f.set(nil)
}
