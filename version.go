// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"runtime"
)

// What the linker is told by make and the Dockerfile: the version, and the
// commit that it was built from.
var (
	version = "dev"
	commit  = "unknown"
)

// printVersion prints what is running, on one line.
func printVersion(out io.Writer) {
	fmt.Fprintf(out, "%s %s (commit %s, %s, %s/%s)\n", controllerName, version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
