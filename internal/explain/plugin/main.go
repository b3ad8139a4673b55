// SPDX-License-Identifier: Apache-2.0

// Command plugin is flux-imagepolicy, which releases contain as a plugin of flux and kubectl: the
// explain command without the controller.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/fluxcd/image-reflector-controller/internal/explain/cli"
)

// version and commit are set by the linker: see hack/make/release.mk.
var (
	version = "dev"
	commit  = "unknown"
)

func main() {
	if slices.Equal(os.Args[1:], []string{"--version"}) {
		fmt.Printf("flux-imagepolicy %s (commit %s, %s, %s/%s)\n", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return
	}
	os.Exit(cli.Main(context.Background(), os.Args))
}
