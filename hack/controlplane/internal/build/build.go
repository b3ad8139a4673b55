// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/gocmd"
)

// unfinished is the prefix of temporary folders of builds. They are in the folder of the result, so
// that a rename is atomic.
const unfinished = ".unfinished-"

// Build builds a program into a folder, and logs the progress. The caller has locked the folder.
func (p Plan) Build(ctx context.Context, folder string, log func(line string)) error {
	work, err := workFolder(folder)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()

	start := time.Now()
	progress := &progress{name: p.Name + " " + p.Version, log: log, last: start}
	built := filepath.Join(work, p.Name)
	if err := p.compile(ctx, built, progress); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("building %s was interrupted; compiled packages stay in Go's build cache", p.Name)
		}
		return fmt.Errorf("building %s: %w\n%s", p.Name, err, strings.Join(progress.other, "\n"))
	}
	if err := p.Install(built, folder); err != nil {
		return err
	}
	log(fmt.Sprintf("%s: built in %s, %d packages compiled", progress.name, time.Since(start).Round(time.Second), progress.compiled))
	return nil
}

// workFolder creates a temporary folder, and removes those of killed builds. No other build is
// running, because the caller has locked the folder.
func workFolder(folder string) (string, error) {
	leftover, err := filepath.Glob(filepath.Join(folder, unfinished+"*"))
	if err != nil {
		return "", err
	}
	for _, dir := range leftover {
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
	}
	return os.MkdirTemp(folder, unfinished)
}

// staleOnly is a template that prints the packages to compile. The main package is also stale, with
// another reason, if it is in the cache and only has to be linked.
const staleOnly = `{{if and .Stale (ne .StaleReason "not installed but available in build cache")}}{{.ImportPath}}{{end}}`

// compile downloads the modules, counts the packages that are not in Go's build cache, which are
// those that `go build -v` prints, and builds the program.
func (p Plan) compile(ctx context.Context, built string, progress *progress) error {
	command := func(args ...string) []string { return append(append(args, p.flags(p.Version)...), p.Package) }
	list := gocmd.Command(ctx, p.dir, command("list", "-deps", "-f", staleOnly)...)
	list.Stderr = progress
	stale, err := list.Output()
	if err != nil {
		return err
	}
	progress.total = len(strings.Fields(string(stale)))
	build := gocmd.Command(ctx, p.dir, command("build", "-v", "-o", built)...)
	// An interrupted go command may leave temporary files; the caller removes this folder.
	build.Env = append(build.Env, "GOTMPDIR="+filepath.Dir(built))
	build.Stderr = progress
	return build.Run()
}

const (
	// logInterval is the time between two lines of progress.
	logInterval = 10 * time.Second
	// maxErrorLines bounds the lines in the error of a failed build.
	maxErrorLines = 40
)

// progress parses the stderr of go commands, and logs their progress.
type progress struct {
	name string
	log  func(line string)
	last time.Time // of the last log line

	total, compiled, downloaded int
	partial                     string   // incomplete line
	other                       []string // last lines that are neither packages nor downloads
}

// Write implements io.Writer. Lines may be split across calls.
func (p *progress) Write(text []byte) (int, error) {
	lines := strings.Split(p.partial+string(text), "\n")
	p.partial = lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		p.count(line)
	}
	return len(text), nil
}

// count counts a line. The line of a compiled package is its import path.
func (p *progress) count(line string) {
	switch {
	case strings.HasPrefix(line, "go: downloading "):
		p.downloaded++
	case line == "" || strings.ContainsAny(line, " \t:#"):
		p.other = append(p.other, line)
		p.other = p.other[max(0, len(p.other)-maxErrorLines):]
		return
	default:
		p.compiled++
	}
	linking := p.compiled > 0 && p.compiled == p.total
	if now := time.Now(); linking || now.Sub(p.last) >= logInterval {
		p.last = now
		p.log(p.status(linking))
	}
}

func (p *progress) status(linking bool) string {
	switch {
	case linking:
		return p.name + ": linking"
	case p.compiled == 0:
		return fmt.Sprintf("%s: %d modules downloaded", p.name, p.downloaded)
	default:
		return fmt.Sprintf("%s: %d of %d packages compiled", p.name, p.compiled, p.total)
	}
}
