// SPDX-License-Identifier: Apache-2.0

// Package session is one run of everything: it brings the programs up in order,
// pushes images, applies the samples, watches what comes of them, and takes
// everything down again.
package session

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/internal/demo"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/internal/view"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
)

// Options says what to run, and where.
type Options struct {
	// Root is the root of the repository.
	Root string
	// Dir is an empty folder for everything that the run writes.
	Dir string
	// Binaries are the programs.
	Binaries stage.Binaries
	// Once ends the run when every sample has resolved.
	Once bool
	// Develop builds and starts the controller anew when its sources change.
	Develop bool
	// Timeout bounds the time in which they must.
	Timeout time.Duration
	// Screen is where the run is shown.
	Screen view.Screen
	// Hints returns what to try, once everything has resolved.
	Hints func(State) string
}

// session is a run.
type session struct {
	Options

	plane           *stage.ControlPlane
	public, private *stage.Registry
	controller      *stage.Controller
	cluster         client.Client
	// digests are what was pushed, by reference.
	digests map[string]string
	began   time.Time
}

// Run brings everything up, shows what comes of the samples, and takes it down.
// With Once it returns nil if, and only if, every sample came to what is
// expected of it. Without, it goes on until ctx ends, and that is no error.
func Run(ctx context.Context, options Options) error {
	s := newSession(options)
	err := s.start(ctx)
	if err == nil {
		err = s.follow(ctx)
	}
	s.Screen.End()
	if ctx.Err() != nil && !s.Once {
		err = nil
	}
	stopping := time.Now()
	if failure := s.stop(); failure != nil {
		return errors.Join(err, fmt.Errorf("not everything could be stopped: %w", failure))
	}
	s.Screen.Say(fmt.Sprintf("Everything is stopped (%s).", seconds(stopping)))
	return err
}

func newSession(options Options) *session {
	dir := func(name string) string { return filepath.Join(options.Dir, name) }
	return &session{
		Options: options,
		began:   time.Now(),
		plane: &stage.ControlPlane{
			Assets: options.Binaries.Assets,
			Dir:    dir("controlplane"),
			CRDs:   []string{filepath.Join(options.Root, "config/crd/bases")},
		},
		public: &stage.Registry{Binary: options.Binaries.Registry, Dir: dir("registry")},
		private: &stage.Registry{
			Binary: options.Binaries.Registry, Dir: dir("private-registry"),
			Username: "samples", Password: newPassword(),
		},
		controller: &stage.Controller{Binary: options.Binaries.Controller, Dir: dir("controller")},
	}
}

// start brings everything up. The control plane takes longest, so the images
// are pushed meanwhile.
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
	return s.state().write(s.Dir)
}

// step does a part of the start, and tells when it is done.
func (s *session) step(ctx context.Context, what string, do func(context.Context) error) error {
	began := time.Now()
	if err := do(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	s.Screen.Say(fmt.Sprintf("%-28s ready after %s", what, seconds(began)))
	return nil
}

func (s *session) startControlPlane(ctx context.Context) error {
	if err := s.plane.Start(ctx); err != nil {
		return err
	}
	kubeconfig, err := s.plane.ControllerAccount(ctx, filepath.Join(s.Root, "config/rbac/role.yaml"))
	if err != nil {
		return err
	}
	s.controller.Kubeconfig = kubeconfig
	s.cluster, err = newClient(s.plane.Config())
	return err
}

func (s *session) startRegistries(ctx context.Context) error {
	for _, registry := range []*stage.Registry{s.public, s.private} {
		if err := registry.Start(ctx); err != nil {
			return err
		}
	}
	var err error
	s.digests, err = demo.Push(ctx, func(ctx context.Context, image demo.Image, artifact stage.Artifact) (string, error) {
		if demo.Private(image.Repository) {
			return s.private.Push(ctx, image.Reference(), artifact)
		}
		return s.public.Push(ctx, image.Reference(), artifact)
	})
	return err
}

func (s *session) applySamples(ctx context.Context) error {
	objects, err := demo.Build(filepath.Join(s.Root, "config/samples"), filepath.Join(s.Dir, "samples"), s.hosts())
	if err != nil {
		return err
	}
	if err := demo.Apply(ctx, s.cluster, objects); err != nil {
		return err
	}
	secret, err := demo.Credentials(s.private.Host(), s.private.Username, s.private.Password)
	if err != nil {
		return err
	}
	return s.cluster.Create(ctx, secret)
}

// stop takes everything down, the controller first: it would complain of the
// others' end.
func (s *session) stop() error {
	return errors.Join(s.controller.Stop(), s.public.Stop(), s.private.Stop(), s.plane.Stop())
}

func (s *session) hosts() demo.Hosts {
	return demo.Hosts{Public: s.public.Host(), Private: s.private.Host()}
}

func seconds(since time.Time) string { return fmt.Sprintf("%.1f s", time.Since(since).Seconds()) }
