// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
	"github.com/fluxcd/image-reflector-controller/internal/terminal"
)

const (
	// refresh is the interval at which objects are listed.
	refresh = 500 * time.Millisecond
	// maxOutage is how long the API server may fail to respond.
	maxOutage = 10 * time.Second
	// maxCrashes is the number of exits of the controller within crashWindow after which it is
	// not restarted.
	maxCrashes  = 5
	crashWindow = time.Minute
	// logLines is the number of log lines in an error.
	logLines = 30
)

// follow shows the objects until ctx ends or, with once, until all samples have resolved.
func (s *session) follow(ctx context.Context) error {
	deadline, ticker := time.NewTimer(s.timeout), time.NewTicker(refresh)
	defer deadline.Stop()
	defer ticker.Stop()
	s.lastResponse = time.Now()
	if s.develop {
		s.report("rebuilding and restarting the controller at each change of its sources")
	}
	defer s.builder.stop() // before the folder of the build is removed
	for {
		finished, err := s.update(ctx)
		if err == nil && !finished {
			err = s.await(ctx, deadline.C, ticker.C)
		}
		if err != nil {
			file := s.controller.LogFile()
			return fmt.Errorf("%w\nThe end of the controller's log (%s):\n%s", err, file, testenv.Tail(file, logLines))
		}
		if finished {
			return nil
		}
	}
}

// await waits for the next event or tick, and handles it.
func (s *session) await(ctx context.Context, deadline, tick <-chan time.Time) error {
	exited := s.controller.Done()
	if s.down {
		exited = nil
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("interrupted: %w", ctx.Err())
	case <-s.public.Done():
		return s.public.Exit()
	case <-s.private.Done():
		return s.private.Exit()
	case <-exited:
		return s.restart(ctx)
	case built := <-s.builder.builds:
		return s.replace(ctx, built)
	case <-deadline:
		return s.reportTimeout()
	case <-tick:
		if s.develop {
			s.builder.poll(ctx)
		}
		return nil
	}
}

// update lists and shows the objects, and reports whether the run is finished.
func (s *session) update(ctx context.Context) (bool, error) {
	objects, err := listObjects(ctx, s.cluster)
	if err != nil {
		if ctx.Err() != nil || time.Since(s.lastResponse) < maxOutage {
			return false, nil //nolint:nilerr // it may be busy, or stopping with the run
		}
		if apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) {
			return false, fmt.Errorf("the CRDs and with them the samples were removed from the cluster, as by make uninstall: %w", err)
		}
		return false, fmt.Errorf("the API server has not responded for %s: %w", maxOutage, err)
	}
	s.lastResponse = time.Now()
	rows := make([]row, len(objects))
	for i, obj := range objects {
		rows[i] = rowOf(obj)
	}
	s.screen.show(rows)
	if s.resolved {
		return false, nil
	}
	s.unmet = unmet(rows, s.state().expected(s.digests))
	s.resolved = len(s.unmet) == 0
	if s.resolved {
		s.reportResolved(rows)
	}
	return s.resolved && s.once, nil
}

// reportResolved prints that every sample has resolved, and the hints or, with once, the results.
func (s *session) reportResolved(rows []row) {
	line := fmt.Sprintf("\nAll %d samples resolved as expected, %s after the start.\n\n", len(rows), seconds(s.startTime))
	s.steps.add("samples resolved", time.Since(s.startTime)-s.started)
	if !s.once {
		s.screen.printLine(line + s.steps.String() + hints(s.state(), s.slot.number))
		return
	}
	s.screen.end()
	s.screen.printLine(line + strings.Join(tables(rows, terminal.Style{}), "\n") + "\n\n" + s.steps.String())
}

// reportTimeout returns an error if the samples have not resolved in time. Without once, it prints
// it instead, and the programs keep running for debugging.
func (s *session) reportTimeout() error {
	if s.resolved {
		return nil
	}
	err := fmt.Errorf("not every sample has resolved within %s:\n  - %s", s.timeout, strings.Join(s.unmet, "\n  - "))
	if s.once {
		return err
	}
	s.screen.printLine(err.Error() + "\nThe controller's log is in " + s.controller.LogFile())
	return nil
}

// restart restarts the controller after an exit, as Kubernetes would. With once, it returns an
// error: the samples must resolve without a restart.
func (s *session) restart(ctx context.Context) error {
	exit := s.controller.Exit()
	if s.once {
		return exit
	}
	s.crashes = append(s.crashes, time.Now())
	if n := len(s.crashes); n >= maxCrashes && time.Since(s.crashes[n-maxCrashes]) < crashWindow {
		return s.giveUp(fmt.Errorf("the controller exited %d times within %s; the last time: %w", maxCrashes, crashWindow, exit))
	}
	s.report(fmt.Sprintf("%v; restarting it, as Kubernetes would", exit))
	return s.resume(ctx)
}

// resume restarts the controller.
func (s *session) resume(ctx context.Context) error {
	if err := s.controller.Start(ctx); err != nil {
		return s.giveUp(err)
	}
	return s.reportStart("the controller runs again,")
}

// reportStart writes the state after a start of the controller, and reports the start.
func (s *session) reportStart(line string) error {
	err := s.state().write(s.slot.dir)
	if err == nil {
		s.report(fmt.Sprintf("%s with the process id %d", line, s.controller.PID()))
	}
	return err
}

// giveUp returns err, the reason why the controller is not restarted. With develop, it reports err
// instead, and the run continues without a controller until the next build.
func (s *session) giveUp(err error) error {
	if !s.develop {
		return err
	}
	s.down = true
	log := testenv.Tail(s.controller.LogFile(), logLines)
	s.report(fmt.Sprintf("%v\n%s\nIt is not restarted until the next change.", err, log))
	return nil
}

// report prints a line with the current time.
func (s *session) report(line string) {
	s.screen.printLine(time.Now().Format(time.TimeOnly) + "  " + strings.TrimSpace(line))
}
