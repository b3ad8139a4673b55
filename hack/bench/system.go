// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
)

// system is a control plane and a controller to measure.
type system struct {
	plane      *stage.ControlPlane
	controller *stage.Controller
	api        client.WithWatch
}

func startSystem(ctx context.Context, dir string, flags ...string) (*system, error) {
	binaries, err := stage.BinariesFromEnv()
	if err != nil {
		return nil, err
	}
	root, err := stage.Root()
	if err != nil {
		return nil, err
	}
	s := &system{plane: &stage.ControlPlane{
		Assets: binaries.Assets, Dir: filepath.Join(dir, "controlplane"), CRDs: []string{filepath.Join(root, "config/crd/bases")},
	}}
	if err := s.plane.Start(ctx); err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1.AddToScheme(scheme)); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	config := s.plane.Config()
	config.QPS, config.Burst = -1, -1
	if s.api, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	kubeconfig, err := s.plane.ControllerAccount(ctx, filepath.Join(root, "config/rbac/role.yaml"))
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.controller = &stage.Controller{Binary: binaries.Controller, Dir: filepath.Join(dir, "controller"), Kubeconfig: kubeconfig, Args: flags}
	return s, nil
}

func (s *system) stop() error {
	var err error
	if s.controller != nil {
		err = s.controller.Stop()
	}
	return errors.Join(err, s.plane.Stop())
}

// writers is how many objects are written at a time.
const writers = 8

// create creates n pairs of an ImageRepository and an ImagePolicy, of images
// that image names.
func (s *system) create(ctx context.Context, n int, interval time.Duration, image func(i int) string) error {
	if err := s.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return err
	}
	return each(ctx, n, func(ctx context.Context, i int) error {
		object := metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("app-%05d", i)}
		repo := &v1.ImageRepository{ObjectMeta: object, Spec: v1.ImageRepositorySpec{
			Image: image(i), Insecure: true, Interval: metav1.Duration{Duration: interval},
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
func (s *system) setInterval(ctx context.Context, interval time.Duration) error {
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
func (s *system) await(ctx context.Context, n int, start time.Time, match func(v1.ImagePolicy) bool) (time.Duration, error) {
	resolved := map[string]bool{}
	note := func(policy v1.ImagePolicy) {
		if policy.Status.LatestRef != nil && policy.Status.LatestRef.Digest != "" && match(policy) {
			resolved[policy.Name] = true
		}
	}
	for { // a watch may end early
		policies := &v1.ImagePolicyList{}
		if err := s.api.List(ctx, policies, client.InNamespace(namespace)); err != nil {
			return 0, fmt.Errorf("with %d of %d policies resolved: %w", len(resolved), n, err)
		}
		for _, policy := range policies.Items {
			note(policy)
		}
		if len(resolved) >= n {
			return time.Since(start), nil
		}
		if err := s.follow(ctx, policies.ResourceVersion, func(policy v1.ImagePolicy) bool {
			note(policy)
			return len(resolved) >= n
		}); err != nil {
			return 0, err
		}
	}
}

// follow watches the policies from a resource version on, until done says that it is
// enough, or the API server ends the watch, as it may.
func (s *system) follow(ctx context.Context, version string, done func(v1.ImagePolicy) bool) error {
	from := &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: version}}
	changes, err := s.api.Watch(ctx, &v1.ImagePolicyList{}, client.InNamespace(namespace), from)
	if err != nil {
		return err
	}
	defer changes.Stop()
	for change := range changes.ResultChan() {
		if policy, ok := change.Object.(*v1.ImagePolicy); ok && done(*policy) {
			return nil
		}
	}
	return nil
}
