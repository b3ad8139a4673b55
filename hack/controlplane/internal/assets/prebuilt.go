// SPDX-License-Identifier: Apache-2.0

package assets

import (
	"context"
	"os"
	"regexp"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/gocmd"
)

// setupEnvtest downloads ready-made binaries with the tool of controller-runtime.
type setupEnvtest struct {
	module string // the module that pins the tool
	store  string // where the tool keeps what it downloads
}

// use returns the folder of the newest patch version it can get. That may be another than the pinned one: not every
// patch release is published as ready-made binaries.
func (s setupEnvtest) use(ctx context.Context, version string, installedOnly bool) (string, error) {
	args := []string{"tool", "setup-envtest", "use", minor(version), "--bin-dir", s.store, "--print", "path"}
	if installedOnly {
		args = append(args, "--installed-only")
	} else if err := os.MkdirAll(s.store, 0o755); err != nil {
		return "", err
	}
	return gocmd.Output(ctx, s.module, args...)
}

var minorOf = regexp.MustCompile(`^v(\d+\.\d+)\..*$`)

// minor turns v1.36.3 into 1.36.x, which setup-envtest reads as the newest patch version.
func minor(version string) string {
	return minorOf.ReplaceAllString(version, "$1.x")
}
