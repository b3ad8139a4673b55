// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/testenv"
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
	load       load
	plane      *testenv.ControlPlane
	controller *testenv.Controller
	api        client.WithWatch
	registries []*syntheticRegistry
}

const (
	// namespace is where the objects are.
	namespace = "bench"
	// quiet is for how long a controller is watched that has nothing to do.
	quiet = 15 * time.Second
	// rarely is an interval that no measurement lasts for.
	rarely = 10 * time.Hour
	// writers is how many objects are written at a time.
	writers = 8
)

// with runs measure on a stand, within a time.
func with(ctx context.Context, l load, atMost time.Duration, measure func(context.Context, *stand) error) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	s := &stand{load: l}
	err = s.setUp(ctx, dir)
	if err == nil {
		err = measure(ctx, s)
	}
	if err = errors.Join(err, s.down()); err != nil && s.controller != nil {
		err = fmt.Errorf("%w\n%s", err, testenv.Tail(s.controller.LogFile(), 4000))
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// setUp starts the control plane and the registries, and creates the objects.
func (s *stand) setUp(ctx context.Context, dir string) error {
	binaries, err := testenv.BinariesFromEnv()
	if err != nil {
		return err
	}
	root, err := testenv.Root()
	if err != nil {
		return err
	}
	s.plane = &testenv.ControlPlane{
		Assets: binaries.Assets, Dir: filepath.Join(dir, "controlplane"), CRDs: []string{filepath.Join(root, "config/crd/bases")},
	}
	if err := s.plane.Start(ctx); err != nil {
		return err
	}
	config := s.plane.Config()
	config.QPS, config.Burst = -1, -1
	if s.api, err = testenv.Client(config); err != nil {
		return err
	}
	kubeconfig, err := s.plane.ControllerAccount(ctx, filepath.Join(root, "config/rbac/role.yaml"))
	if err != nil {
		return err
	}
	s.controller = &testenv.Controller{
		Binary: cmp.Or(s.load.controller, binaries.Controller), Dir: filepath.Join(dir, "controller"), Kubeconfig: kubeconfig,
	}
	for range s.load.hosts {
		s.registries = append(s.registries, newSyntheticRegistry(s.load.tags, s.load.kinds, s.load.latency))
	}
	return s.create(ctx)
}

// down stops everything.
func (s *stand) down() error {
	var err error
	if s.controller != nil {
		err = s.controller.Stop()
	}
	for _, registry := range s.registries {
		registry.close()
	}
	if s.plane != nil {
		err = errors.Join(err, s.plane.Stop())
	}
	return err
}

// create creates the pairs of an ImageRepository and an ImagePolicy.
func (s *stand) create(ctx context.Context) error {
	if err := s.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return err
	}
	return each(ctx, s.load.pairs, func(ctx context.Context, i int) error {
		object := metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("app-%05d", i)}
		repo := &v1.ImageRepository{ObjectMeta: object, Spec: v1.ImageRepositorySpec{
			Image: s.registryOf(i).host + "/" + repositoryOf(i), Insecure: true, Interval: metav1.Duration{Duration: rarely},
			Timeout: &metav1.Duration{Duration: time.Minute},
		}}
		policy := &v1.ImagePolicy{ObjectMeta: object, Spec: v1.ImagePolicySpec{
			ImageRepositoryRef:     meta.NamespacedObjectReference{Name: object.Name},
			Policy:                 v1.ImagePolicyChoice{SemVer: &v1.SemVerPolicy{Range: ">=1.0.0"}},
			DigestReflectionPolicy: v1.ReflectIfNotPresent,
		}}
		return errors.Join(s.api.Create(ctx, repo), s.api.Create(ctx, policy))
	})
}

// registryOf returns the registry of a pair.
func (s *stand) registryOf(pair int) *syntheticRegistry { return s.registries[pair%len(s.registries)] }

// repositoryOf returns the image repository of a pair, without its registry.
func repositoryOf(pair int) string { return fmt.Sprintf("team/app-%d", pair) }

// each calls do for all numbers below n, some at a time.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range n {
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

// setInterval changes the interval of all ImageRepositories.
func (s *stand) setInterval(ctx context.Context, interval time.Duration) error {
	repos := &v1.ImageRepositoryList{}
	if err := s.api.List(ctx, repos, client.InNamespace(namespace)); err != nil {
		return err
	}
	return each(ctx, len(repos.Items), func(ctx context.Context, i int) error {
		repo := &repos.Items[i]
		before := repo.DeepCopy()
		repo.Spec.Interval.Duration = interval
		return s.api.Patch(ctx, repo, client.MergeFrom(before))
	})
}

// await waits until n policies that match are resolved, with a digest, and
// returns the time since start. It watches, which costs the API server less than asking.
func (s *stand) await(ctx context.Context, n int, start time.Time, match func(*v1.ImagePolicy) bool) (time.Duration, error) {
	resolved := map[string]bool{}
	for len(resolved) < n {
		policies, err := s.api.Watch(ctx, &v1.ImagePolicyList{}, client.InNamespace(namespace)) // it begins with those that are there
		if err != nil {
			return 0, fmt.Errorf("with %d of %d policies resolved: %w", len(resolved), n, err)
		}
		for event := range policies.ResultChan() {
			policy, ok := event.Object.(*v1.ImagePolicy)
			if ok && policy.Status.LatestRef != nil && policy.Status.LatestRef.Digest != "" && match(policy) {
				resolved[policy.Name] = true
			}
			if len(resolved) >= n {
				break
			}
		}
		policies.Stop()
	}
	return time.Since(start), nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
