// SPDX-License-Identifier: Apache-2.0

// Command controlplane builds, once, the etcd and the kube-apiserver that tests and `make run` start, and the kubectl that
// tests use.
//
// It links none of them: it runs `go build` in the modules that pin them (./apiserver, ./etcd and ./kubectl), so it compiles
// in a second itself and needs nothing beyond the standard library.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/assets"
	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/staging"
)

//go:generate go run . replaces

const usage = `usage: controlplane <command> [flags]

  build [-bin folder]     make the binaries ready, building what is missing, and print their folder
  path [-bin folder]      print the folder of the binaries; fails where they are not ready
  replaces [-check]       write (or only check) the replace lists of apiserver/go.mod and kubectl/go.mod`

func main() {
	// However a build is told to stop, it stops its compilers and removes its unfinished files.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("no command given\n%s", usage)
	}
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	root, err := findRoot(cwd)
	if err != nil {
		return err
	}
	switch name, rest := args[0], args[1:]; name {
	case "build", "path":
		return locate(ctx, name, root, rest, stdout)
	case "replaces":
		return replaces(ctx, root, rest)
	default:
		return fmt.Errorf("unknown command %q\n%s", name, usage)
	}
}

func locate(ctx context.Context, command, root string, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	bin := flags.String("bin", filepath.Join(root, "bin"), "`folder` below which controlplane/<version>/ is kept")
	if err := flags.Parse(args); err != nil {
		return err
	}
	folder, err := filepath.Abs(*bin)
	if err != nil {
		return err
	}
	finder := assets.New(filepath.Join(root, moduleFolder), filepath.Join(root, "hack", "tools"), folder)
	find := finder.Path
	if command == "build" {
		find = finder.Build
	}
	dir, err := find(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, dir)
	return err
}

func replaces(ctx context.Context, root string, args []string) error {
	flags := flag.NewFlagSet("replaces", flag.ContinueOnError)
	check := flags.Bool("check", false, "change nothing; fail where the list is out of date")
	if err := flags.Parse(args); err != nil {
		return err
	}
	server, client := filepath.Join(root, moduleFolder, "apiserver"), filepath.Join(root, moduleFolder, "kubectl")
	if *check {
		return errors.Join(staging.Check(ctx, server), staging.CheckFollows(ctx, server, client))
	}
	if err := staging.Write(ctx, server); err != nil {
		return err
	}
	return staging.Follow(ctx, server, client)
}
