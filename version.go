/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

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
