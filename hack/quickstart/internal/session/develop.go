// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/internal/develop"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
)

// builds are the controllers that are built of changed sources, none unless the
// run is for development. The channel is closed when ctx has ended.
func (s *session) builds(ctx context.Context) <-chan develop.Build {
	if !s.Develop {
		none := make(chan develop.Build)
		context.AfterFunc(ctx, func() { close(none) })
		return none
	}
	s.tell("building and starting the controller anew at each change of its sources")
	return develop.Watch(ctx, s.Root, s.Dir)
}

// replace puts a new controller in the place of the one that runs. All else
// stays as it is: the control plane with its objects, the registries, the store.
func (f *follower) replace(ctx context.Context, built develop.Build) error {
	if built.Err != nil {
		return f.stay("the change can't be built", built.Err)
	}
	if err := f.install(ctx); err != nil {
		return f.stay("the change can't be installed", err)
	}
	if err := f.controller.Stop(); err != nil {
		return err
	}
	before := f.controller.Binary
	f.controller.Binary, f.crashes, f.down = built.Binary, nil, false
	if err := f.controller.Start(ctx); err != nil {
		f.tell("the new controller does not start, and the one before it comes back: " + err.Error())
		f.controller.Binary = before
		return f.resume(ctx)
	}
	if err := f.state().write(f.Dir); err != nil {
		return err
	}
	f.tell(fmt.Sprintf("built in %.1f s, and the new controller runs with the process id %d", built.Duration.Seconds(), f.controller.PID()))
	return nil
}

// stay leaves the controller as it is, which ends nothing: the next change may
// be better.
func (f *follower) stay(why string, err error) error {
	f.tell(fmt.Sprintf("%s, and the controller stays as it is: %v", why, err))
	return nil
}

// install brings to the cluster what of it may have changed beside the program.
func (s *session) install(ctx context.Context) error {
	if err := s.plane.InstallCRDs(); err != nil {
		return err
	}
	return s.plane.ChangeControllerAccount(ctx, filepath.Join(s.Root, "config/rbac/role.yaml"))
}

// tell says something that happened just now.
func (s *session) tell(text string) {
	s.Screen.Say(time.Now().Format(time.TimeOnly) + "  " + strings.TrimSpace(text))
}

// rest leaves a controller alone that keeps ending, until a change is built.
func (f *follower) rest(err error) error {
	if !f.Develop {
		return err
	}
	f.down = true
	log := stage.Tail(f.controller.LogFile(), logLines)
	f.tell(fmt.Sprintf("%v\n%s\nIt is not started again before the next change.", err, log))
	return nil
}

// ended is closed when the controller has ended, and should not have.
func (f *follower) ended() <-chan struct{} {
	if f.down {
		return nil
	}
	return f.controller.Done()
}
