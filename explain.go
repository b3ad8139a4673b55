// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"

	flag "github.com/spf13/pflag"

	"github.com/fluxcd/image-reflector-controller/internal/explain/cli"
)

// explainIfWanted runs the command explain and ends the process where the command
// line asks for it. Otherwise the help for the flags tells that it exists.
func explainIfWanted() {
	if cli.Wanted(os.Args) {
		os.Exit(cli.Main(context.Background(), os.Args))
	}
	flag.Usage = func() { cli.Usage(os.Stderr, os.Args[0], flag.PrintDefaults) }
}
