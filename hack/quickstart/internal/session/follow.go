// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/internal/demo"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/internal/develop"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/internal/view"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
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

// follower is what is remembered of the samples between two looks.
type follower struct {
	*session

	// answered is when the API server answered last.
	answered time.Time
	unmet    []string
	resolved bool
	crashes  []time.Time
	// down says that the controller ended too often, and is left alone.
	down bool
}

// follow shows the rows until ctx ends or, with Once, all samples resolved.
func (s *session) follow(ctx context.Context) error {
	f := &follower{session: s, answered: time.Now()}
	if err := f.loop(ctx); err != nil {
		file := s.controller.LogFile()
		return fmt.Errorf("%w\nThe end of the controller's log (%s):\n%s", err, file, stage.Tail(file, logLines))
	}
	return nil
}

func (f *follower) loop(ctx context.Context) error {
	deadline, ticker := time.NewTimer(f.Timeout), time.NewTicker(refresh)
	defer deadline.Stop()
	defer ticker.Stop()
	watching, cancel := context.WithCancel(ctx)
	builds := f.builds(watching)
	defer func() { // a build that is under way ends before its folder goes
		cancel()
		for range builds {
		}
	}()
	for {
		if over, err := f.look(ctx); over || err != nil {
			return err
		}
		if err := f.await(ctx, builds, deadline.C, ticker.C); err != nil {
			return err
		}
	}
}

// await returns when something has happened, or it is time for a look.
func (f *follower) await(ctx context.Context, builds <-chan develop.Build, deadline, tick <-chan time.Time) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("interrupted: %w", ctx.Err())
	case <-f.public.Done():
		return f.public.Exit()
	case <-f.private.Done():
		return f.private.Exit()
	case <-f.ended():
		return f.restart(ctx)
	case built, more := <-builds:
		if !more {
			return nil // as ctx has ended
		}
		return f.replace(ctx, built)
	case <-deadline:
		return f.late()
	case <-tick:
		return nil
	}
}

// look shows the rows as they are now. It reports whether the run is over.
func (f *follower) look(ctx context.Context) (bool, error) {
	rows, err := view.Read(ctx, f.cluster)
	if err != nil {
		if ctx.Err() != nil || time.Since(f.answered) < patience {
			return false, nil //nolint:nilerr // it may be busy, or be ending with the run
		}
		if apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) {
			return false, fmt.Errorf("the CRDs were removed from the cluster, as make uninstall does, and the samples with them: %w", err)
		}
		return false, fmt.Errorf("the API server has not answered for %s: %w", patience, err)
	}
	f.answered = time.Now()
	f.Screen.Show(rows)
	if f.resolved {
		return false, nil
	}
	f.unmet = demo.Unmet(rows, f.hosts(), f.digests)
	if len(f.unmet) > 0 {
		return false, nil
	}
	f.resolved = true
	f.celebrate(rows)
	return f.Once, nil
}

// celebrate tells that every sample has resolved.
func (f *follower) celebrate(rows []view.Row) {
	text := fmt.Sprintf("\nAll %d samples resolved as expected, %s after the start.", len(rows), seconds(f.began))
	if !f.Once {
		f.Screen.Say(text + "\n\n" + f.Hints(f.state()))
		return
	}
	f.Screen.End()
	f.Screen.Say(text + "\n\n" + strings.Join(view.Table(rows, 0), "\n") + "\n")
}

// late is called when the samples should have resolved. Who watches may want to
// find out why they did not, so only a run that nobody watches ends.
func (f *follower) late() error {
	if f.resolved {
		return nil
	}
	text := fmt.Sprintf("not every sample has resolved within %s:\n  - %s", f.Timeout, strings.Join(f.unmet, "\n  - "))
	if f.Once {
		return fmt.Errorf("%s", text)
	}
	f.Screen.Say(text + "\nThe controller's log is in " + f.controller.LogFile())
	return nil
}

// restart starts the controller again, as Kubernetes would. A run that nobody
// watches fails instead: the samples must resolve without that.
func (f *follower) restart(ctx context.Context) error {
	exit := f.controller.Exit()
	if f.Once {
		return exit
	}
	f.crashes = append(f.crashes, time.Now())
	if n := len(f.crashes); n >= maxCrashes && time.Since(f.crashes[n-maxCrashes]) < crashWindow {
		return f.rest(fmt.Errorf("the controller ended %d times within %s; the last time: %w", maxCrashes, crashWindow, exit))
	}
	f.tell(fmt.Sprintf("%v; starting it again, as Kubernetes would", exit))
	return f.resume(ctx)
}

// resume starts the controller that ran before.
func (f *follower) resume(ctx context.Context) error {
	if err := f.controller.Start(ctx); err != nil {
		return f.rest(err)
	}
	if err := f.state().write(f.Dir); err != nil {
		return err
	}
	f.tell(fmt.Sprintf("the controller runs again, with the process id %d", f.controller.PID()))
	return nil
}
