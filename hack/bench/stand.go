// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
)

// load is what a stand is to bear.
type load struct {
	pairs, tags int
	kinds       int // of tag lists
	hosts       int
	latency     time.Duration
	controller  string // the program, "" for the one that was built
}

// stand is a control plane, registries, and objects, for a controller that is not
// started yet.
type stand struct {
	*system
	load       load
	dir        string
	registries []*syntheticRegistry
}

// namespace is where the objects are.
const namespace = "bench"

// quiet is for how long a controller is watched that has nothing to do.
const quiet = 15 * time.Second

// rarely is an interval that no measurement lasts for.
const rarely = 10 * time.Hour

// newStand sets a stand up. It is to be taken down also where it fails.
func newStand(ctx context.Context, l load) (*stand, error) {
	s := &stand{load: l}
	var err error
	if s.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return s, err
	}
	if s.system, err = startSystem(ctx, s.dir); err != nil {
		return s, err
	}
	if l.controller != "" {
		s.controller.Binary = l.controller
	}
	for range l.hosts {
		registry, err := newSyntheticRegistry(l.tags, l.kinds, l.latency)
		if err != nil {
			return s, err
		}
		s.registries = append(s.registries, registry)
	}
	return s, s.create(ctx, l.pairs, rarely, func(i int) string {
		return fmt.Sprintf("%s/team/app-%d", s.registries[i%l.hosts].host, i)
	})
}

// down takes the stand down.
func (s *stand) down() error {
	var err error
	if s.system != nil {
		err = s.stop()
	}
	for _, registry := range s.registries {
		registry.close()
	}
	return err
}

// lastWords is how the controller's log ends.
func (s *stand) lastWords() string {
	if s.system == nil || s.controller == nil {
		return ""
	}
	return stage.Tail(s.controller.LogFile(), 4000)
}

// cold is what a cold start took.
type cold struct {
	figures
	took  time.Duration
	usage map[string]float64 // CPU seconds by program
}

// coldStart starts the controller, and waits until all policies are resolved.
func (s *stand) coldStart(ctx context.Context) (cold, error) {
	start, used := time.Now(), cpuOf()
	if err := s.controller.Start(ctx); err != nil {
		return cold{}, err
	}
	took, err := s.await(ctx, s.load.pairs, start, func(v1.ImagePolicy) bool { return true })
	if err != nil {
		return cold{}, err
	}
	f, err := s.read(ctx)
	return cold{figures: f, took: took, usage: since(used, cpuOf())}, err
}

// steady is what unchanged scans cost.
func (s *stand) steady(ctx context.Context, interval, window time.Duration) (figures, error) {
	if err := s.setInterval(ctx, interval); err != nil {
		return figures{}, err
	}
	// the scans that the change itself makes are over after one interval
	if err := wait(ctx, interval+interval/2); err != nil {
		return figures{}, err
	}
	return s.during(ctx, window)
}

// during returns what happens in a time.
func (s *stand) during(ctx context.Context, window time.Duration) (figures, error) {
	before, err := s.read(ctx)
	if err != nil {
		return figures{}, err
	}
	if err := wait(ctx, window); err != nil {
		return figures{}, err
	}
	after, err := s.read(ctx)
	return after.since(before), err
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// with runs measure on a stand, within a time.
func with(ctx context.Context, l load, atMost time.Duration, measure func(context.Context, *stand) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	s, err := newStand(ctx, l)
	defer func() {
		if down := s.down(); down != nil || err != nil {
			err = errors.Join(err, down, errors.New(s.lastWords()))
		}
		err = errors.Join(err, os.RemoveAll(s.dir))
	}()
	if err != nil {
		return err
	}
	return measure(ctx, s)
}
