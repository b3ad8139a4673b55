// SPDX-License-Identifier: Apache-2.0

// Package gobuild builds one planned binary and shows how far it is.
package gobuild

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/binary"
	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/gocmd"
	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/progress"
)

// unfinished names the folders in which builds happen. They lie beside the result, so that a rename is atomic.
const unfinished = ".unfinished-"

// Build builds a binary into a folder. The caller holds the lock of that folder.
func Build(ctx context.Context, plan binary.Plan, folder string, display progress.Display) error {
	work, err := workFolder(folder)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()

	start := time.Now()
	meter := progress.NewMeter(plan.Name+" "+plan.Version, start)
	stop := display.Show(meter.Status)
	built := filepath.Join(work, plan.Name)
	compiled, err := compile(ctx, plan, built, meter)
	stop()
	if err != nil {
		return failure(ctx, plan, meter, err)
	}
	if err := plan.Install(built, folder); err != nil {
		return err
	}
	display.Println(fmt.Sprintf("%s %s: built in %s, %d packages compiled",
		plan.Name, plan.Version, time.Since(start).Round(time.Second), compiled))
	return nil
}

// workFolder makes a folder to build in, and removes those of builds that were killed. The lock says that no build
// runs now.
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

func compile(ctx context.Context, plan binary.Plan, built string, meter *progress.Meter) (int, error) {
	total, err := countStale(ctx, plan, meter)
	if err != nil {
		return 0, err
	}
	meter.SetTotal(total)
	args := append([]string{"build", "-v", "-o", built}, plan.Flags(plan.Version)...)
	cmd := gocmd.Command(ctx, plan.Dir, append(args, plan.Package)...)
	// An interrupted go command does not always remove its temporary files; the caller removes this folder.
	cmd.Env = append(cmd.Env, "GOTMPDIR="+filepath.Dir(built))
	cmd.Stderr = meter
	return total, cmd.Run()
}

// staleOnly prints the packages that have to be compiled. The main package counts as stale also where its compiled
// form is in the cache and only linking is left; the reason tells.
const staleOnly = `{{if and .Stale (ne .StaleReason "not installed but available in build cache")}}{{.ImportPath}}{{end}}`

// countStale asks which packages the build cache does not hold: those, and no others, `go build -v` will name. The
// modules are downloaded on the way.
func countStale(ctx context.Context, plan binary.Plan, meter *progress.Meter) (int, error) {
	args := append([]string{"list", "-deps", "-f", staleOnly}, plan.Flags(plan.Version)...)
	cmd := gocmd.Command(ctx, plan.Dir, append(args, plan.Package)...)
	cmd.Stderr = meter
	out, err := cmd.Output()
	return len(strings.Fields(string(out))), err
}

func failure(ctx context.Context, plan binary.Plan, meter *progress.Meter, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("building %s was interrupted; what is compiled so far stays in Go's build cache", plan.Name)
	}
	return fmt.Errorf("building %s: %w\n%s", plan.Name, err, meter.Tail())
}
