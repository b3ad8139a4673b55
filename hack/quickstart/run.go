// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// options are the options of a run.
type options struct {
	// root is the root of the repository.
	root string
	// slot is the number of the run, and its folder, which is empty at the start.
	slot     *slot
	binaries testenv.Binaries
	// once makes the run exit when every sample has resolved.
	once bool
	// develop makes the run rebuild and restart the controller when its sources change.
	develop bool
	// timeout is the time within which every sample must resolve.
	timeout time.Duration
	screen  *screen
	steps   *steps
}

// session is one run: it starts the programs, pushes images, applies the samples, shows their
// results, and stops everything.
type session struct {
	options

	plane           *testenv.ControlPlane
	public, private *testenv.Registry
	mirror          *testenv.Registry // a pull-through cache of the public one
	controller      *testenv.Controller
	cluster         client.Client
	// digests are the digests of the pushed images, by reference.
	digests   map[string]string
	startTime time.Time
	// started is how long the start took.
	started time.Duration

	// lastResponse is the time of the last response of the API server.
	lastResponse time.Time
	unmet        []string
	resolved     bool
	crashes      []time.Time
	// down: the controller exited too often, and is not restarted.
	down    bool
	builder *builder
}

// newSession returns a session that is not started.
func newSession(o options) *session {
	dir := func(name string) string { return filepath.Join(o.slot.dir, name) }
	registry := func(name string) *testenv.Registry {
		return &testenv.Registry{Binary: o.binaries.Registry, Dir: dir(name)}
	}
	s := &session{
		options:   o,
		startTime: time.Now(),
		plane: &testenv.ControlPlane{
			Assets: o.binaries.Assets,
			Dir:    o.slot.dir,
			CRDs:   []string{filepath.Join(o.root, "config/crd/bases")},
		},
		public:     registry("registry"),
		private:    registry("private-registry"),
		mirror:     registry("mirror"),
		controller: &testenv.Controller{Binary: o.binaries.Controller, Dir: dir("controller")},
		builder:    newBuilder(o.root, o.slot.dir),
	}
	s.private.Username, s.private.Password = "samples", rand.Text()
	return s
}

// run starts everything, shows the results of the samples, and stops everything. With once, it
// returns nil if and only if every sample has the expected result. Otherwise it runs until ctx
// ends, which is not an error.
func (s *session) run(ctx context.Context) error {
	err := s.start(ctx)
	if err == nil {
		err = s.follow(ctx)
	}
	s.screen.end()
	if ctx.Err() != nil && !s.once {
		err = nil
	}
	stopping := time.Now()
	// the controller first: it would log errors if the others stopped earlier
	if failure := errors.Join(s.controller.Stop(), s.mirror.Stop(), s.public.Stop(), s.private.Stop(), s.plane.Stop()); failure != nil {
		return errors.Join(err, fmt.Errorf("not everything could be stopped: %w", failure))
	}
	s.screen.printLine(fmt.Sprintf("Everything is stopped (%s).", seconds(stopping)))
	return err
}

// start starts everything. The images are pushed while the control plane starts, which takes
// longest.
func (s *session) start(ctx context.Context) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.step(groupCtx, "control plane with the CRDs", s.startControlPlane) })
	group.Go(func() error { return s.step(groupCtx, "two registries with images", s.startRegistries) })
	if err := group.Wait(); err != nil {
		return err
	}
	if err := s.step(ctx, "samples", s.applySamples); err != nil {
		return err
	}
	if err := s.step(ctx, "controller", s.controller.Start); err != nil {
		return err
	}
	s.started = time.Since(s.startTime)
	return s.state().write(s.slot.dir)
}

// step runs one step of the start, and prints how long it took.
func (s *session) step(ctx context.Context, name string, do func(context.Context) error) error {
	start := time.Now()
	if err := do(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.steps.add(name, time.Since(start))
	s.screen.printLine(fmt.Sprintf("%-28s ready after %s", name, seconds(start)))
	return nil
}

func (s *session) startControlPlane(ctx context.Context) error {
	err := s.plane.Start(ctx)
	if err == nil {
		s.controller.Kubeconfig, err = s.plane.ControllerAccount(ctx, s.roleFile())
	}
	if err == nil {
		s.cluster, err = s.state().client()
	}
	return err
}

func (s *session) startRegistries(ctx context.Context) error {
	for _, registry := range []*testenv.Registry{s.public, s.private} {
		if err := registry.Start(ctx); err != nil {
			return err
		}
	}
	if err := s.startMirror(ctx); err != nil {
		return err
	}
	var err error
	s.digests, err = pushSamples(ctx, func(ctx context.Context, image sampleImage, artifact testenv.Artifact) (string, error) {
		return s.state().registry(image.repository).Push(ctx, image.reference(), artifact)
	})
	return err
}

// startMirror starts the mirror of the public registry, by which the controller reads it.
func (s *session) startMirror(ctx context.Context) error {
	s.mirror.Upstream = s.public.Host()
	if err := s.mirror.Start(ctx); err != nil {
		return err
	}
	file := filepath.Join(s.slot.dir, "mirrors.toml")
	s.controller.Args = append(s.controller.Args, "--registry-mirrors="+file)
	return os.WriteFile(file, fmt.Appendf(nil, "[%q.host.\"http://%s\"]\ncapabilities = [\"pull\", \"resolve\"]\n",
		s.public.Host(), s.mirror.Host()), 0o600)
}

func (s *session) roleFile() string { return filepath.Join(s.root, "config/rbac/role.yaml") }

func (s *session) state() state {
	return state{
		Kubeconfig:    s.plane.Kubeconfig(),
		PublicHost:    s.public.Host(),
		PrivateHost:   s.private.Host(),
		Username:      s.private.Username,
		Password:      s.private.Password,
		ControllerPID: s.controller.PID(),
		ControllerLog: s.controller.LogFile(),
		MetricsURL:    s.controller.MetricsURL(),
	}
}

func seconds(since time.Time) string { return fmt.Sprintf("%.1f s", time.Since(since).Seconds()) }
