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

// unfinished names the folders in which builds happen. They lie beside the result, so that a rename is atomic.
const unfinished = ".unfinished-"

// Build builds a program into a folder, and logs how far it is. The caller holds the lock of that folder.
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
			return fmt.Errorf("building %s was interrupted; what is compiled so far stays in Go's build cache", p.Name)
		}
		return fmt.Errorf("building %s: %w\n%s", p.Name, err, strings.Join(progress.other, "\n"))
	}
	if err := p.Install(built, folder); err != nil {
		return err
	}
	log(fmt.Sprintf("%s: built in %s, %d packages compiled", progress.name, time.Since(start).Round(time.Second), progress.compiled))
	return nil
}

// workFolder makes a folder to build in, and removes those of builds that were killed: by the lock, none runs now.
func workFolder(folder string) (string, error) {
	left, err := filepath.Glob(filepath.Join(folder, unfinished+"*"))
	if err != nil {
		return "", err
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
	}
	return os.MkdirTemp(folder, unfinished)
}

// staleOnly prints the packages that have to be compiled. The main package counts as stale also where its compiled form is
// in the cache and only linking is left, for a reason of its own.
const staleOnly = `{{if and .Stale (ne .StaleReason "not installed but available in build cache")}}{{.ImportPath}}{{end}}`

// compile downloads the modules, counts the packages that Go's build cache lacks, which are those that `go build -v` will
// name, and builds the program.
func (p Plan) compile(ctx context.Context, built string, progress *progress) error {
	with := func(args ...string) []string { return append(append(args, p.flags(p.Version)...), p.Package) }
	list := gocmd.Command(ctx, p.dir, with("list", "-deps", "-f", staleOnly)...)
	list.Stderr = progress
	stale, err := list.Output()
	if err != nil {
		return err
	}
	progress.total = len(strings.Fields(string(stale)))
	build := gocmd.Command(ctx, p.dir, with("build", "-v", "-o", built)...)
	// An interrupted go command does not always remove its temporary files; the caller removes this folder.
	build.Env = append(build.Env, "GOTMPDIR="+filepath.Dir(built))
	build.Stderr = progress
	return build.Run()
}

const (
	// logInterval is the time between two lines of progress.
	logInterval = 10 * time.Second
	// keptLines bounds the lines that are kept for the error of a failed build.
	keptLines = 40
)

// progress reads what go commands write to standard error, and logs how far they are.
type progress struct {
	name string
	log  func(line string)
	last time.Time // when a line was logged

	total, compiled, downloaded int
	partial                     string   // the line that has not ended yet
	other                       []string // the last lines about neither packages nor downloads
}

// Write implements io.Writer. Lines may be split anywhere.
func (p *progress) Write(text []byte) (int, error) {
	lines := strings.Split(p.partial+string(text), "\n")
	p.partial = lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		p.count(line)
	}
	return len(text), nil
}

// count counts a line. A package that is compiled is a bare import path.
func (p *progress) count(line string) {
	switch {
	case strings.HasPrefix(line, "go: downloading "):
		p.downloaded++
	case line == "" || strings.ContainsAny(line, " \t:#"):
		p.other = append(p.other, line)
		p.other = p.other[max(0, len(p.other)-keptLines):]
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
