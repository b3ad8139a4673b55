/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
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
	api        client.Client
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
	if s.api, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
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

// pairs creates n pairs of an ImageRepository and an ImagePolicy, of images
// that image names.
func (s *system) pairs(ctx context.Context, namespace string, n int, interval time.Duration, image func(i int) string) error {
	if err := s.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return err
	}
	for i := range n {
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
		if err := errors.Join(s.api.Create(ctx, repo), s.api.Create(ctx, policy)); err != nil {
			return err
		}
	}
	return nil
}

// resolved counts the policies with a digest whose repositories match.
func (s *system) resolved(ctx context.Context, namespace string, match func(v1.ImagePolicy) bool) (int, error) {
	policies := &v1.ImagePolicyList{}
	if err := s.api.List(ctx, policies, client.InNamespace(namespace)); err != nil {
		return 0, err
	}
	n := 0
	for _, policy := range policies.Items {
		if policy.Status.LatestRef != nil && policy.Status.LatestRef.Digest != "" && match(policy) {
			n++
		}
	}
	return n, nil
}

// await waits until n policies that match are resolved, and returns the time
// since start.
func (s *system) await(
	ctx context.Context, namespace string, n int, start time.Time, match func(v1.ImagePolicy) bool,
) (time.Duration, error) {
	for {
		got, err := s.resolved(ctx, namespace, match)
		if err != nil {
			return 0, err
		}
		if got >= n {
			return time.Since(start), nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%d of %d policies were resolved in time: %w", got, n, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func tempDir() (string, func() error, error) {
	dir, err := os.MkdirTemp("", "bench-")
	return dir, func() error { return os.RemoveAll(dir) }, err
}
