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

// killAt names the variable with the number of the system call at which a
// process is killed.
const killAt = "STORE_KILL_AT"

// TestStore_SurvivesKillAtEverySystemCall kills a process at each of the system calls with which
// it makes a store, writes and removes, one after the other.
func TestStore_SurvivesKillAtEverySystemCall(t *testing.T) {
	g := NewWithT(t)
	stride := 8
	if n, err := strconv.Atoi(os.Getenv(killsEnv)); err == nil && n >= 200 {
		stride = 1
	}
	for at := 0; ; at += stride {
		world := newCrashWorld(t)
		out, err := underFaults(t, world.dir, liveAndDie, killAt+"="+strconv.Itoa(at))
		if os.Getenv(faultDir) != "" {
			return
		}
		for line := range strings.Lines(out) {
			if _, ack, ok := strings.Cut(line, "ack "); ok {
				world.note(t, ack)
			}
		}
		if _, err := world.verify(t); err != nil {
			t.Fatalf("killed at call %d: %v\n%s", at, err, out)
		}
		if err == nil { // it came to its end
			t.Logf("%d calls, of which every %d. was the last", at, stride)
			g.Expect(at).To(BeNumerically(">=", 100), "calls and steps")
			g.Expect(world.steps).To(Equal(livesSteps), "calls and steps")
			return
		}
	}
}

const livesSteps = 60

func liveAndDie(dir string, f *faults) {
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
	for n := range livesSteps {
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
