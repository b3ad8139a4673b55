// SPDX-License-Identifier: Apache-2.0

// Command quickstart runs the image-reflector-controller on this machine, with real programs: it
// starts a control plane, registries with images and the controller, and shows the results of the
// samples.
//
//	quickstart                          run until Ctrl-C
//	quickstart -once                    run until every sample has resolved
//	quickstart -dev                     rebuild and restart the controller if its sources change
//	quickstart push podinfo:1.11.0      push an image to the registry of a run
//	quickstart retag FROM TO            point one tag to the image of another
//	quickstart reconcile [OBJECT]       reconcile now, not at the interval
//	quickstart seed HOST                push the samples' images to a registry of yours
//
// make run builds everything that it needs, and starts it.
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
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

const usage = `usage:
  quickstart [flags]                      run everything, until Ctrl-C
  quickstart push REPOSITORY:TAG          push a new image to the registry of a run
  quickstart retag FROM TO                point the tag TO to the image of the tag FROM
  quickstart reconcile [OBJECT]           reconcile now, not at the interval. OBJECT is
                                          [KIND/][NAMESPACE/]NAME, such as imagepolicy/samples/podinfo
  quickstart seed HOST                    push the images of the samples to a registry of yours
make run builds everything that it needs, and starts it. Flags:
`

func main() {
	log.SetLogger(logr.Discard()) // of libraries: their errors are returned
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "\nquickstart: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	root, err := testenv.Root()
	if err != nil {
		return err
	}
	if len(args) > 0 && args[0] == "seed" {
		return seed(context.Background(), args[1:]) // a remote registry may be slow
	}
	if len(args) > 0 && commands[args[0]].do != nil {
		return execute(filepath.Join(root, ".run"), args[0], args[1:])
	}
	return start(root, args)
}

// start runs everything, in a folder that no other run uses.
func start(root string, args []string) error {
	o := options{root: root, screen: newScreen(os.Stdout), steps: readSteps(os.Getenv(stepsVariable), os.Getenv(startedVariable))}
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	dir := flags.String("dir", filepath.Join(root, ".run"), "folder for the files of runs")
	flags.BoolVar(&o.once, "once", false, "exit when every sample has resolved")
	flags.BoolVar(&o.develop, "dev", false, "rebuild and restart the controller when its sources change")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "time within which the samples must resolve")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("there is no command '%s': run quickstart -h for a list", flags.Arg(0))
	}
	if o.once && o.develop {
		return errors.New("-once exits by itself, and -dev waits for changes: choose one of them")
	}
	base, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	if o.binaries, err = testenv.BinariesFromEnv(); err != nil {
		return err
	}
	if o.slot, err = acquire(base); err != nil {
		return err
	}
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	go handleSignals(o, interrupt)
	err = newSession(o).run(ctx)
	if err != nil {
		err = fmt.Errorf("%w\nAll logs are kept in %s", err, o.slot.dir)
	}
	return errors.Join(err, o.slot.release(err != nil))
}

// handleSignals stops the run at the first signal, and kills everything at the second.
func handleSignals(o options, interrupt context.CancelFunc) {
	signals, outputClosed := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	signal.Notify(outputClosed, syscall.SIGPIPE) // or else SIGPIPE would kill the process
	select {
	case <-outputClosed:
	case <-signals:
		o.screen.end()
		o.screen.printLine("\nStopping …")
	}
	interrupt()
	<-signals
	fmt.Fprintln(os.Stderr, "killing everything")
	if err := o.slot.sweep(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(130)
}
