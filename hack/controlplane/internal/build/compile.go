// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/gocmd"
)

// longestBuild is the age from which a temporary folder is that of a killed build. The folder of
// compilations is not locked.
const longestBuild = 24 * time.Hour

// Compilation is a run of `go build`.
type Compilation struct {
	Name    string   // of the program, for the log
	Dir     string   // folder of the module
	Env     []string // variables in addition to those of the process
	Flags   []string // flags of `go build`
	Package string
	Output  string // file to write
}

// Run builds the program and logs its progress: nothing, if all packages are in Go's build cache.
// The output is replaced at once, so no other process starts a partial program.
func (c Compilation) Run(ctx context.Context, log func(line string)) error {
	work, err := WorkFolder(filepath.Dir(c.Output), longestBuild)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	built := filepath.Join(work, filepath.Base(c.Output))
	compiled, took, err := c.compile(ctx, built, log)
	if err != nil {
		return err
	}
	if compiled > 0 {
		log(builtLine(c.Name, compiled, took))
	}
	return os.Rename(built, c.Output)
}

func builtLine(name string, compiled int, took time.Duration) string {
	return fmt.Sprintf("%s: built in %s, %s compiled", name, took.Round(time.Second), packages(compiled))
}

// compile writes the program to a file whose folder may also contain temporary files. It returns how
// many packages were compiled, and how long it took.
func (c Compilation) compile(ctx context.Context, built string, log func(line string)) (int, time.Duration, error) {
	start := time.Now()
	listCtx, cancel := context.WithCancel(ctx)
	progress := newProgress(c.Name, log, func() (map[string]int64, error) { return c.stale(listCtx) })
	cmd := c.command(ctx, "build", "-v", "-o", built)
	// An interrupted go command may leave temporary files; the caller removes this folder.
	cmd.Env = append(cmd.Env, "GOTMPDIR="+filepath.Dir(built))
	cmd.Stderr = progress
	progress.watch(listCtx)
	err := cmd.Run()
	cancel()
	progress.end()
	if err != nil {
		if ctx.Err() != nil {
			return 0, 0, fmt.Errorf("building %s was interrupted; compiled packages stay in Go's build cache", c.Name)
		}
		return 0, 0, fmt.Errorf("building %s: %w\n%s", c.Name, err, strings.Join(progress.other, "\n"))
	}
	took := time.Since(start)
	RecordStep("build of "+c.Name, took)
	return progress.compiled(), took, nil
}

// command returns a go command with the flags and the package.
func (c Compilation) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := gocmd.Command(ctx, c.Dir, append(append(args, c.Flags...), c.Package)...)
	cmd.Env = append(cmd.Env, c.Env...)
	return cmd
}

// staleOnly is a template that prints the packages to compile, with their files. The main package is
// also stale, with another reason, if it is in the cache and only has to be linked.
const staleOnly = `{{if and .Stale (ne .StaleReason "not installed but available in build cache")}}` +
	`{{.ImportPath}}{{"\t"}}{{.Dir}}{{"\t"}}{{join .GoFiles "\t"}}{{end}}`

// packageOverhead is the size of sources that take as long as the start of a compiler.
const packageOverhead = 8 << 10

// stale returns the packages that are not in Go's build cache, with the size of their sources.
func (c Compilation) stale(ctx context.Context) (map[string]int64, error) {
	out, err := c.command(ctx, "list", "-deps", "-f", staleOnly).Output()
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) < 2 {
			continue
		}
		sizes[fields[0]] = packageOverhead
		for _, name := range fields[2:] {
			if info, err := os.Stat(filepath.Join(fields[1], name)); err == nil {
				sizes[fields[0]] += info.Size()
			}
		}
	}
	return sizes, nil
}

// stepsEnv contains the path of a file to which steps are appended, as lines `seconds name`. The
// program that is started last prints where the time went.
const stepsEnv = "BUILD_STEPS"

// shortStep is the duration below which a step is not recorded.
const shortStep = time.Second

// RecordStep records how long a step took, unless it was short. If that fails, the caller does not
// print this step.
func RecordStep(name string, took time.Duration) {
	path := os.Getenv(stepsEnv)
	if path == "" || took < shortStep {
		return
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return
	}
	_, _ = fmt.Fprintf(file, "%.1f %s\n", took.Seconds(), name)
	_ = file.Close()
}

// DiscardSteps removes the recorded steps, for a failed run, which prints none.
func DiscardSteps() {
	if path := os.Getenv(stepsEnv); path != "" {
		_ = os.Remove(path)
	}
}
