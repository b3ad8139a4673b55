// SPDX-License-Identifier: Apache-2.0

// Package cli implements the command explain, as a subcommand of the controller and as a plugin of
// kubectl and flux.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/fluxcd/image-reflector-controller/internal/explain/source"
	"github.com/fluxcd/image-reflector-controller/internal/terminal"
)

// The exit codes.
const (
	ExitSelected = 0 // a tag is selected, or help was requested
	ExitNothing  = 1 // no tag is selected
	ExitInvalid  = 2 // the input is invalid
	ExitFailed   = 3 // the cluster or the registry failed
)

// Usage prints the help of the controller; flags prints its flags.
func Usage(out io.Writer, name string, flags func()) {
	fmt.Fprintf(out, "Usage of %s:\n", name)
	flags()
	fmt.Fprintf(out, "\n\"%s explain\" explains which image a policy selects, and why: see \"%[1]s explain --help\".\n", Controller)
}

// Controller is the name of the controller's binary.
const Controller = "image-reflector-controller"

// completer is the name of the binary that kubectl runs to complete the arguments of its plugin.
const completer = "kubectl_complete-imagepolicy"

// plugins maps the names under which the binary is only a command line to the command that users
// type.
var plugins = map[string]string{
	"kubectl-imagepolicy": "kubectl imagepolicy",
	"flux-imagepolicy":    "flux-imagepolicy",
	completer:             "kubectl imagepolicy",
}

// IsExplain reports whether argv, which begins with the program's name, runs this command line and
// not the controller: it has the name of a plugin or a subcommand.
func IsExplain(argv []string) bool {
	if len(argv) == 0 {
		return false
	}
	if _, plugin := plugins[program(argv[0])]; plugin {
		return true
	}
	if len(argv) < 2 {
		return false
	}
	switch argv[1] {
	case "explain", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd:
		return true
	}
	return false
}

// program returns the name of a program without directory and ".exe".
func program(path string) string { return strings.TrimSuffix(filepath.Base(path), ".exe") }

// Main runs the command line and returns its exit code. The first signal cancels ctx, the second
// one ends the process.
func Main(ctx context.Context, argv []string) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	klog.SetLogger(logr.Discard()) // errors are returned, and printed below
	ctrl.SetLogger(logr.Discard())

	root := newRoot(program(argv[0])) //nolint:contextcheck // completions use the context of their command
	root.SetArgs(arguments(argv))
	err := root.ExecuteContext(ctx)
	code := exitCode(err)
	if code == ExitInvalid || code == ExitFailed {
		for line := range strings.Lines(strings.TrimSpace("Error: " + err.Error())) {
			fmt.Fprintln(os.Stderr, terminal.Clean(strings.TrimRight(line, "\n")))
		}
	}
	return code
}

// arguments returns the arguments of the command. As completer, the arguments are those to
// complete.
func arguments(argv []string) []string {
	if program(argv[0]) == completer {
		return append([]string{cobra.ShellCompRequestCmd}, argv[1:]...)
	}
	return argv[1:]
}

// errNothing is returned if no tag is selected. It is not printed.
var errNothing = errors.New("nothing is selected")

// exitCode returns the exit code of an error. Errors of cobra are about the input.
func exitCode(err error) int {
	_, failed := errors.AsType[*failedError](err)
	switch {
	case err == nil:
		return ExitSelected
	case errors.Is(err, errNothing):
		return ExitNothing
	case failed:
		return ExitFailed
	default:
		return ExitInvalid
	}
}

// failedError is a failure that the user's input does not cause.
type failedError struct{ error }

// classify wraps errors that are not about the input as failedError.
func classify(err error) error {
	if _, invalid := errors.AsType[*source.InvalidError](err); invalid || err == nil {
		return err
	}
	return &failedError{err}
}

// newRoot returns the command of a program.
func newRoot(name string) *cobra.Command {
	display, plugin := plugins[name]
	if !plugin {
		name, display = Controller, Controller
	}
	root := &cobra.Command{
		Use:           name,
		Short:         "Explain which image an ImagePolicy selects",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: display},
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("there is no command %q: did you mean %q?", args[0], cmd.CommandPath()+" explain "+args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	explain := newExplain()
	root.AddCommand(explain)
	explain.Example = fmt.Sprintf(examples, root.CommandPath())
	return root
}
