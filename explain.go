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
	"context"
	"os"

	flag "github.com/spf13/pflag"

	"github.com/fluxcd/image-reflector-controller/internal/explain/cli"
)

// explainIfWanted runs the command explain and ends the process where the command
// line asks for it. Otherwise the help for the flags tells that it exists.
func explainIfWanted() {
	if cli.Wanted(os.Args) {
		os.Exit(cli.Main(context.Background(), os.Args, cli.ProcessStreams()))
	}
	flag.Usage = func() { cli.Usage(os.Stderr, os.Args[0], flag.PrintDefaults) }
}
