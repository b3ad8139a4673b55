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
	// refresh is the time between two looks at the cluster.
	refresh = 500 * time.Millisecond
	// patience is for how long the API server may fail to answer.
	patience = 10 * time.Second
	// maxCrashes is how often the controller may end within crashWindow.
	maxCrashes  = 5
	crashWindow = time.Minute
	// logLines is how much of the controller's log is shown with a failure.
	logLines = 30
)

// follow shows the rows until ctx ends or, with once, all samples resolved.
func (s *session) follow(ctx context.Context) error {
	deadline, ticker := time.NewTimer(s.timeout), time.NewTicker(refresh)
	defer deadline.Stop()
	defer ticker.Stop()
	s.answered = time.Now()
	if s.develop {
		s.report("building and starting the controller anew at each change of its sources")
	}
	defer s.builder.stop() // a build ends before its folder is removed
	for {
		over, err := s.look(ctx)
		if err == nil && !over {
			err = s.await(ctx, deadline.C, ticker.C)
		}
		if err != nil {
			file := s.controller.LogFile()
			return fmt.Errorf("%w\nThe end of the controller's log (%s):\n%s", err, file, testenv.Tail(file, logLines))
		}
		if over {
			return nil
		}
	}
}

// await returns when something has happened, or it is time for a look.
func (s *session) await(ctx context.Context, deadline, tick <-chan time.Time) error {
	ended := s.controller.Done()
	if s.down {
		ended = nil
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("interrupted: %w", ctx.Err())
	case <-s.public.Done():
		return s.public.Exit()
	case <-s.private.Done():
		return s.private.Exit()
	case <-ended:
		return s.restart(ctx)
	case built := <-s.builder.builds:
		return s.replace(ctx, built)
	case <-deadline:
		return s.late()
	case <-tick:
		if s.develop {
			s.builder.look(ctx)
		}
		return nil
	}
}

// look shows the rows as they are now. It reports whether the run is over.
func (s *session) look(ctx context.Context) (bool, error) {
	objects, err := listObjects(ctx, s.cluster)
	if err != nil {
		if ctx.Err() != nil || time.Since(s.answered) < patience {
			return false, nil //nolint:nilerr // it may be busy, or be ending with the run
		}
		if apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) {
			return false, fmt.Errorf("the CRDs were removed from the cluster, as make uninstall does, and the samples with them: %w", err)
		}
		return false, fmt.Errorf("the API server has not answered for %s: %w", patience, err)
	}
	s.answered = time.Now()
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
		s.celebrate(rows)
	}
	return s.resolved && s.once, nil
}

// celebrate prints that every sample has resolved, and what to try next or, where the
// run ends, what the samples came to.
func (s *session) celebrate(rows []row) {
	line := fmt.Sprintf("\nAll %d samples resolved as expected, %s after the start.\n\n", len(rows), seconds(s.began))
	if !s.once {
		s.screen.say(line + hints(s.state(), s.slot.number))
		return
	}
	s.screen.end()
	s.screen.say(line + strings.Join(tables(rows, terminal.Style{}), "\n") + "\n")
}

// late is called when the samples should have resolved. Where the run does not end by
// itself, the programs stay up, to find out why.
func (s *session) late() error {
	if s.resolved {
		return nil
	}
	err := fmt.Errorf("not every sample has resolved within %s:\n  - %s", s.timeout, strings.Join(s.unmet, "\n  - "))
	if s.once {
		return err
	}
	s.screen.say(err.Error() + "\nThe controller's log is in " + s.controller.LogFile())
	return nil
}

// restart starts the controller again, as Kubernetes would. With once it fails: the
// samples must resolve without that.
func (s *session) restart(ctx context.Context) error {
	exit := s.controller.Exit()
	if s.once {
		return exit
	}
	s.crashes = append(s.crashes, time.Now())
	if n := len(s.crashes); n >= maxCrashes && time.Since(s.crashes[n-maxCrashes]) < crashWindow {
		return s.rest(fmt.Errorf("the controller ended %d times within %s; the last time: %w", maxCrashes, crashWindow, exit))
	}
	s.report(fmt.Sprintf("%v; starting it again, as Kubernetes would", exit))
	return s.resume(ctx)
}

// resume starts the controller that ran before.
func (s *session) resume(ctx context.Context) error {
	if err := s.controller.Start(ctx); err != nil {
		return s.rest(err)
	}
	return s.running("the controller runs again,")
}

// running writes the state of the controller that was started, and reports it.
func (s *session) running(line string) error {
	err := s.state().write(s.slot.dir)
	if err == nil {
		s.report(fmt.Sprintf("%s with the process id %d", line, s.controller.PID()))
	}
	return err
}

// rest returns why the controller keeps ending. In development the run goes on
// without it, until a change is built.
func (s *session) rest(err error) error {
	if !s.develop {
		return err
	}
	s.down = true
	log := testenv.Tail(s.controller.LogFile(), logLines)
	s.report(fmt.Sprintf("%v\n%s\nIt is not started again before the next change.", err, log))
	return nil
}

// report prints what has happened just now.
func (s *session) report(line string) {
	s.screen.say(time.Now().Format(time.TimeOnly) + "  " + strings.TrimSpace(line))
}
