// SPDX-License-Identifier: Apache-2.0

// Command controlplane downloads or builds, and caches, the etcd and the kube-apiserver that tests
// and `make run` start, and the matching kubectl. It also compiles other programs with progress.
//
// It runs `go build` in the modules that pin them (./apiserver, ./etcd and ./kubectl). It links
// none of them and uses only the standard library, so it compiles within a second. Its working
// directory must be this folder, as with `go -C`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/assets"
	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/build"
	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/gocmd"
)

const usage = `usage: controlplane <command> [flags]

  build [-bin folder] [-kubectl=false] [-first command] [-- program [arguments]]
                          download or build missing or outdated programs, and print their folder,
                          or replace this process by a program, with KUBEBUILDER_ASSETS. The
                          command runs before a build and during a download
  path [-bin folder] [-kubectl=false]
                          print the folder of the programs; fails if one is missing or outdated
  compile -name name -dir folder -o file [-env variable=value]... -- [build flags] package
                          go build in a folder, with progress`

func main() {
	// On each of these signals, a build stops its compilers and removes its temporary files.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "build", "path":
			return find(ctx, args[0] == "build", args[1:])
		case "compile":
			return compile(ctx, args[1:])
		}
	}
	return fmt.Errorf("no such command: %q\n%s", args, usage)
}

// find prints the folder of the programs, or starts a program that uses them.
func find(ctx context.Context, mayBuild bool, args []string) error {
	flags := flag.NewFlagSet("controlplane", flag.ContinueOnError)
	bin := flags.String("bin", "../../bin", "`folder` that contains controlplane/<version>/")
	kubectl := flags.Bool("kubectl", true, "include kubectl")
	first := flags.String("first", "", "shell `command` that runs before a build and during a download")
	if err := flags.Parse(args); err != nil {
		return err
	}
	folder, err := filepath.Abs(*bin)
	if err != nil {
		return err
	}
	finder, err := assets.New(folder, programs(*kubectl))
	if err != nil {
		return err
	}
	if mayBuild {
		folder, err = finder.Get(ctx, func(ctx context.Context) error { return shell(ctx, *first) })
	} else {
		folder, err = finder.Path(ctx)
	}
	program := flags.Args()
	switch {
	case err != nil:
	case len(program) > 0:
		err = start(program, folder)
	default:
		_, err = fmt.Println(folder)
	}
	if err != nil {
		build.DiscardSteps()
	}
	return err
}

// start replaces this process by a program that uses the folder, so that it receives the signals of
// make. It returns only errors.
func start(program []string, folder string) error {
	if err := os.Setenv(assets.FolderEnv, folder); err != nil {
		return err
	}
	if err := syscall.Exec(program[0], program, os.Environ()); err != nil {
		return fmt.Errorf("starting %s: %w", program[0], err)
	}
	return nil
}

func programs(kubectl bool) []build.Program {
	if kubectl {
		return build.Programs()
	}
	return build.ControlPlane()
}

// shell runs a command. Its output goes to stderr, because stdout is the folder of the programs.
func shell(ctx context.Context, command string) error {
	if command == "" {
		return nil
	}
	cmd := gocmd.Process(ctx, "", "sh", "-c", command)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	err := cmd.Run()
	if canceled := ctx.Err(); canceled != nil {
		return canceled
	}
	if err != nil {
		return fmt.Errorf("running %q: %w", command, err)
	}
	return nil
}

// compile runs go build with progress.
func compile(ctx context.Context, args []string) error {
	var c build.Compilation
	flags := flag.NewFlagSet("controlplane", flag.ContinueOnError)
	flags.StringVar(&c.Name, "name", "", "`name` of the program in messages")
	flags.StringVar(&c.Dir, "dir", "", "`folder` of the module")
	flags.StringVar(&c.Output, "o", "", "`file` to write")
	flags.Func("env", "`variable=value` of the go command", func(variable string) error {
		c.Env = append(c.Env, variable)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	rest := flags.Args()
	if c.Name == "" || c.Dir == "" || !filepath.IsAbs(c.Output) || len(rest) == 0 {
		return fmt.Errorf("compile needs a name, a folder, an absolute file and a package\n%s", usage)
	}
	c.Flags, c.Package = rest[:len(rest)-1], rest[len(rest)-1]
	return c.Run(ctx, func(line string) { fmt.Fprintln(os.Stderr, line) })
}
