// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// logInterval is the time between two lines of progress.
	logInterval = 10 * time.Second
	// listAfter is how long a build takes until its remaining packages are counted. Listing them
	// costs seconds of CPU, and a short build needs no estimate.
	listAfter = 3 * time.Second
	// minSample is the time from which an estimate is derived, at least, and minShare the share of
	// the sources: 1/minShare.
	minSample = 10 * time.Second
	minShare  = 20
	// maxErrorLines bounds the lines in the error of a failed build.
	maxErrorLines = 40
)

// progress parses the stderr of `go build -v`, and logs how far it is. Its methods may be called
// concurrently.
type progress struct {
	name string
	log  func(line string)
	list func() (map[string]int64, error)
	now  func() time.Time

	mu         sync.Mutex
	listing    sync.WaitGroup
	listed     bool
	last       time.Time       // of the last log line
	first      time.Time       // of the first package
	seen       map[string]bool // packages that are compiled, or being compiled
	downloaded int
	partial    string   // incomplete line
	other      []string // last lines that are neither packages nor downloads

	remaining map[string]int64 // sizes of the packages that are not compiled yet
	since     time.Time        // when remaining was listed
	done      int64            // size of the packages that were compiled since
}

// newProgress returns a progress. The function list returns the packages to compile, with sizes in
// proportion to the time that each takes.
func newProgress(name string, log func(line string), list func() (map[string]int64, error)) *progress {
	return &progress{name: name, log: log, list: list, now: time.Now, last: time.Now(), seen: map[string]bool{}}
}

// Write implements io.Writer. Lines may be split across calls.
func (p *progress) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := strings.Split(p.partial+string(text), "\n")
	p.partial = lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		p.count(line)
	}
	return len(text), nil
}

// watch logs the status also while the go command prints nothing, as during a long link, until the
// context is canceled.
func (p *progress) watch(ctx context.Context) {
	p.listing.Go(func() {
		ticks := time.NewTicker(time.Second)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
				p.tick()
			}
		}
	})
}

func (p *progress) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.logStatus(false, p.now())
}

// logStatus logs the status, unless a line was just logged and the status is not that of the link.
func (p *progress) logStatus(linking bool, now time.Time) {
	if linking || now.Sub(p.last) >= logInterval {
		p.last = now
		p.log(p.status(linking, now))
	}
}

// end waits until the packages are listed, and returns when no more lines are logged.
func (p *progress) end() { p.listing.Wait() }

func (p *progress) compiled() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.seen)
}

// count counts a line. The line of a package is its import path, and is printed when its compiler
// starts.
func (p *progress) count(line string) {
	now := p.now()
	switch {
	case strings.HasPrefix(line, "go: downloading "):
		p.downloaded++
	case line == "" || strings.ContainsAny(line, " \t:#"):
		p.other = append(p.other, line)
		p.other = p.other[max(0, len(p.other)-maxErrorLines):]
		return
	default:
		p.start(line, now)
	}
	linking := p.listed && p.remaining != nil && len(p.remaining) == 0
	if linking {
		p.remaining = nil // logged once
	}
	p.logStatus(linking, now)
}

// start counts a package. After listAfter, it lists the remaining ones, once.
func (p *progress) start(pkg string, now time.Time) {
	if len(p.seen) == 0 {
		p.first, p.last = now, now
		p.log(p.name + ": compiling")
	}
	p.seen[pkg] = true
	p.done += p.remaining[pkg]
	delete(p.remaining, pkg)
	if p.listed || now.Sub(p.first) < listAfter {
		return
	}
	p.listed = true
	p.listing.Go(func() {
		remaining, err := p.list()
		if err != nil {
			return // there is no estimate
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for pkg := range p.seen {
			delete(remaining, pkg)
		}
		p.remaining, p.since, p.done = remaining, p.now(), 0
	})
}

func (p *progress) status(linking bool, now time.Time) string {
	switch {
	case linking:
		return p.name + ": linking"
	case len(p.seen)+p.downloaded == 0:
		return p.name + ": looking for packages to compile"
	case len(p.seen) == 0:
		return fmt.Sprintf("%s: %d modules downloaded", p.name, p.downloaded)
	case p.remaining == nil:
		return fmt.Sprintf("%s: %s compiled", p.name, packages(len(p.seen)))
	default:
		return fmt.Sprintf("%s: %d of %d packages compiled%s", p.name, len(p.seen), len(p.seen)+len(p.remaining), p.estimate(now))
	}
}

func packages(count int) string {
	if count == 1 {
		return "1 package"
	}
	return fmt.Sprintf("%d packages", count)
}

// estimate returns how long the remaining packages take, at the rate of those since the list.
func (p *progress) estimate(now time.Time) string {
	elapsed := now.Sub(p.since)
	var left int64
	for _, size := range p.remaining {
		left += size
	}
	if p.done == 0 || elapsed < minSample || p.done < left/minShare {
		return ""
	}
	return ", " + about(time.Duration(float64(elapsed)*float64(left)/float64(p.done)))
}

// about rounds an estimate to minutes.
func about(left time.Duration) string {
	if left < time.Minute {
		return "less than a minute left"
	}
	return fmt.Sprintf("about %d min left", int(left.Round(time.Minute).Minutes()))
}
