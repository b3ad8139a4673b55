// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// stepsVariable contains the path of a file with the steps before the start, as lines
	// `seconds name`. hack/controlplane writes it.
	stepsVariable = "BUILD_STEPS"
	// startedVariable contains the start of make run, in seconds since 1970.
	startedVariable = "BUILD_STARTED"
	// shortBuild is the sum of build times below which a table of steps is not worth reading.
	shortBuild = 5 * time.Second
)

// steps are the steps of make run, with their durations. It is safe for concurrent use.
type steps struct {
	mu    sync.Mutex
	lines []string
	build time.Duration
	start time.Time // of make run, zero if it is unknown
}

// readSteps reads the steps of the build, and removes their file. started is the start of make run
// in seconds since 1970, or "".
func readSteps(path, started string) *steps {
	s := &steps{}
	if seconds, err := strconv.ParseInt(started, 10, 64); err == nil {
		s.start = time.Unix(seconds, 0)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return s // nothing was built
	}
	_ = os.Remove(path)
	for line := range strings.Lines(string(content)) {
		text, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if took, err := strconv.ParseFloat(text, 64); err == nil {
			s.add(name, time.Duration(took*float64(time.Second)))
			s.build += time.Duration(took * float64(time.Second))
		}
	}
	return s
}

func (s *steps) add(name string, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, stepLine(name, took))
}

func stepLine(name string, took time.Duration) string {
	return fmt.Sprintf("  %-32s %6.1f s\n", name, took.Seconds())
}

// String returns the steps as a table, or "" if the build was short.
func (s *steps) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.build < shortBuild {
		return ""
	}
	table := "Where the time went (some steps overlap):\n" + strings.Join(s.lines, "")
	if !s.start.IsZero() {
		table += stepLine("all", time.Since(s.start))
	}
	return table + "\n"
}
