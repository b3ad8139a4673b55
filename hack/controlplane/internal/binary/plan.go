// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/gocmd"
)

// Plan is a Binary at the version its module pins: all that is needed to build it, or to see that it was.
type Plan struct {
	Binary
	Dir     string // of the module that pins it
	Version string
	Stamp   Stamp
}

// NewPlan reads the pin of a binary from its module, below the given folder.
func NewPlan(ctx context.Context, modules string, b Binary) (Plan, error) {
	plan := Plan{Binary: b, Dir: filepath.Join(modules, b.Folder)}
	file, err := gocmd.ReadModFile(ctx, filepath.Join(plan.Dir, "go.mod"))
	if err != nil {
		return Plan{}, err
	}
	if plan.Version, err = file.Version(b.Module); err != nil {
		return Plan{}, err
	}
	plan.Stamp, err = plan.stamp(ctx)
	return plan, err
}

func (p Plan) stamp(ctx context.Context) (Stamp, error) {
	// Asked in the module's folder: its go.mod may select another toolchain than the one this program was built with.
	goVersion, err := gocmd.Output(ctx, p.Dir, "env", "GOVERSION")
	if err != nil {
		return "", err
	}
	modHash, err := fileHash(filepath.Join(p.Dir, "go.mod"))
	if err != nil {
		return "", err
	}
	sumHash, err := fileHash(filepath.Join(p.Dir, "go.sum"))
	if err != nil {
		return "", err
	}
	return newStamp(
		"package", p.Package,
		"version", p.Version,
		"platform", runtime.GOOS+"/"+runtime.GOARCH,
		"go", goVersion,
		"flags", strings.Join(p.Flags(p.Version), " "),
		"go.mod", modHash,
		"go.sum", sumHash,
	), nil
}

func fileHash(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), nil
}
