// SPDX-License-Identifier: Apache-2.0

// Command controlplane builds and caches the etcd and the kube-apiserver that tests and `make run`
// start, and the matching kubectl.
//
// It runs `go build` in the modules that pin them (./apiserver, ./etcd and ./kubectl). It links
// none of them and uses only the standard library, so it compiles within a second. Its working
// directory must be this folder, as with `go -C`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/assets"
)

const usage = `usage: controlplane <command> [flags]

  build [-bin folder]     build missing or outdated programs, and print their folder
  path [-bin folder]      print the folder of the programs; fails if one is missing or outdated`

func main() {
	// On each of these signals, a build stops its compilers and removes its temporary files.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] != "build" && args[0] != "path" {
		return fmt.Errorf("no such command: %q\n%s", args, usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	bin := flags.String("bin", "../../bin", "`folder` that contains controlplane/<version>/")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	folder, err := filepath.Abs(*bin)
	if err == nil {
		folder, err = assets.New(folder).Find(ctx, args[0] == "build")
	}
	if err == nil {
		_, err = fmt.Println(folder)
	}
	return err
}
