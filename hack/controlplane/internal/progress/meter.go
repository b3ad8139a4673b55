// SPDX-License-Identifier: Apache-2.0

// Package progress tells how far a long `go build -v` is.
package progress

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"
)

// tailLines is how much of what is neither package nor download is kept, to be shown where the build fails.
const tailLines = 40

// Meter counts what a go command writes to standard error. It is an io.Writer, safe for concurrent use.
type Meter struct {
	name  string
	start time.Time

	mu         sync.Mutex
	partial    []byte // the line that has not ended yet
	total      int    // packages to compile; unknown at first
	compiled   int
	downloaded int
	tail       []string
}

// unknown is the total until the build cache was asked. A total of 0 means that only linking is left.
const unknown = -1

// NewMeter starts a meter for what is being built.
func NewMeter(name string, start time.Time) *Meter {
	return &Meter{name: name, start: start, total: unknown}
}

// SetTotal says how many packages will be compiled.
func (m *Meter) SetTotal(total int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total = total
}

// Write takes the next bytes of standard error. Lines may be split anywhere.
func (m *Meter) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.partial = append(m.partial, p...)
	for {
		line, rest, ended := bytes.Cut(m.partial, []byte("\n"))
		if !ended {
			return len(p), nil
		}
		m.count(string(line))
		m.partial = rest
	}
}

func (m *Meter) count(line string) {
	switch classify(line) {
	case pkg:
		m.compiled++
	case download:
		m.downloaded++
	default:
		m.tail = append(m.tail, line)
		m.tail = m.tail[max(0, len(m.tail)-tailLines):]
	}
}

// Status is one line: what is being done, how far it is, and how long it took so far.
func (m *Meter) Status(now time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("%s: %s, %s", m.name, m.step(), now.Sub(m.start).Round(time.Second))
}

func (m *Meter) step() string {
	switch {
	case m.total == unknown && m.downloaded > 0:
		return fmt.Sprintf("%d modules downloaded", m.downloaded)
	case m.total == unknown:
		return "finding out what to compile"
	case m.compiled >= m.total:
		return "linking"
	default:
		return fmt.Sprintf("%d of %d packages compiled", m.compiled, m.total)
	}
}

// Tail returns the last of what was written beside packages and downloads: the errors of a build that failed.
func (m *Meter) Tail() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	lines := m.tail
	if len(m.partial) > 0 {
		lines = append(lines[:len(lines):len(lines)], string(m.partial))
	}
	return strings.Join(lines, "\n")
}

type lineKind int

const (
	other lineKind = iota
	pkg
	download
)

// classify tells the lines of `go build -v` apart: a package being compiled is its bare import path.
func classify(line string) lineKind {
	switch {
	case strings.HasPrefix(line, "go: downloading "):
		return download
	case line == "" || strings.ContainsAny(line, " \t:#"):
		return other
	default:
		return pkg
	}
}
