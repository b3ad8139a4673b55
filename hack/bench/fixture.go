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

// load is the load of a fixture.
type load struct {
	pairs, tags int
	kinds       int // number of different tag lists
	hosts       int
	latency     time.Duration
	controller  string // path of the program, "" for the one that make built
	profile     string // file for a CPU profile of unchanged scans, "" for none
	gated       int    // number of policies with platforms and minimumAge: the first ones
	signed      int    // number of these that also require a signature
	minimumAge  time.Duration
	sharded     bool // whether every second pair belongs to a second shard
}

// fixture is a control plane, registries and objects. Its controller is not started yet.
type fixture struct {
	load       load
	plane      *testenv.ControlPlane
	kubeconfig string // of the controller's account
	program    string // path of the controller
	dir        string
	controller *testenv.Controller // the first one
	all        []*testenv.Controller
	api        client.WithWatch
	registries []*syntheticRegistry
}

const (
	// namespace contains the objects.
	namespace = "bench"
	// idleTime is how long an idle controller is observed.
	idleTime = 15 * time.Second
	// longInterval is longer than any measurement.
	longInterval = 10 * time.Hour
	// logTail is the number of lines of each log that an error ends with.
	logTail = 500
	// writers is the number of objects that are written concurrently.
	writers = 8
)

// withFixture runs measure with a new fixture, which is removed afterwards.
func withFixture(ctx context.Context, l load, timeout time.Duration, measure func(context.Context, *fixture) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	f := &fixture{load: l, dir: dir}
	err = f.setUp(ctx)
	if err == nil {
		err = measure(ctx, f)
	}
	if err = errors.Join(err, f.tearDown()); err != nil {
		for _, controller := range f.all {
			err = fmt.Errorf("%w\n%s:\n%s", err, controller.LogFile(), testenv.Tail(controller.LogFile(), logTail))
		}
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// setUp starts the control plane and the registries, and creates the objects.
func (f *fixture) setUp(ctx context.Context) error {
	binaries, err := testenv.BinariesFromEnv()
	if err != nil {
		return err
	}
	root, err := testenv.Root()
	if err != nil {
		return err
	}
	f.plane = &testenv.ControlPlane{
		Assets: binaries.Assets, Dir: filepath.Join(f.dir, "controlplane"), CRDs: []string{filepath.Join(root, "config/crd/bases")},
	}
	if err := f.plane.Start(ctx); err != nil {
		return err
	}
	config := f.plane.Config()
	config.QPS, config.Burst = -1, -1
	if f.api, err = testenv.Client(config); err != nil {
		return err
	}
	if f.kubeconfig, err = f.plane.ControllerAccount(ctx, filepath.Join(root, "config/rbac/role.yaml")); err != nil {
		return err
	}
	if err := testenv.AllowLeaderElection(ctx, f.api, filepath.Join(root, "config/rbac/leader_election_role.yaml")); err != nil {
		return err
	}
	f.program = cmp.Or(f.load.controller, binaries.Controller)
	for range f.load.hosts {
		f.registries = append(f.registries, newSyntheticRegistry(f.load.tags, f.load.kinds, f.load.latency))
	}
	return f.create(ctx)
}

// addController adds a controller that is not started yet.
func (f *fixture) addController(name string, args ...string) *testenv.Controller {
	added := &testenv.Controller{Binary: f.program, Dir: filepath.Join(f.dir, name), Kubeconfig: f.kubeconfig, Args: args}
	f.all = append(f.all, added)
	return added
}

// tearDown stops all programs.
func (f *fixture) tearDown() error {
	var err error
	for _, controller := range f.all {
		err = errors.Join(err, controller.Stop())
	}
	for _, registry := range f.registries {
		registry.close()
	}
	if f.plane != nil {
		err = errors.Join(err, f.plane.Stop())
	}
	return err
}

// keys is the name of the Secret with the public key of signed images.
const keys = "keys"

// create creates pairs of an ImageRepository and an ImagePolicy.
func (f *fixture) create(ctx context.Context) error {
	key, err := publicKey()
	if err != nil {
		return err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: keys}, Data: map[string][]byte{"key.pub": key}}
	for _, object := range []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, secret} {
		if err := f.api.Create(ctx, object); err != nil {
			return err
		}
	}
	return forEach(ctx, f.load.pairs, func(ctx context.Context, i int) error {
		object := metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("app-%05d", i), Labels: f.load.shardOf(i).labels}
		repo := &v1.ImageRepository{ObjectMeta: object, Spec: v1.ImageRepositorySpec{
			Image: f.registryOf(i).host + "/" + repositoryOf(i), Insecure: true, Interval: metav1.Duration{Duration: longInterval},
			Timeout: &metav1.Duration{Duration: time.Minute},
		}}
		policy := &v1.ImagePolicy{ObjectMeta: object, Spec: v1.ImagePolicySpec{
			ImageRepositoryRef:     meta.NamespacedObjectReference{Name: object.Name},
			Policy:                 v1.ImagePolicyChoice{SemVer: &v1.SemVerPolicy{Range: ">=1.0.0"}},
			DigestReflectionPolicy: v1.ReflectIfNotPresent,
		}}
		f.load.gates(i).apply(&policy.Spec)
		return errors.Join(f.api.Create(ctx, repo), f.api.Create(ctx, policy))
	})
}

// registryOf returns the registry of a pair.
func (f *fixture) registryOf(pair int) *syntheticRegistry {
	return f.registries[pair%len(f.registries)]
}

// repositoryOf returns the image repository of a pair, without the registry.
func repositoryOf(pair int) string { return fmt.Sprintf("team/app-%d", pair) }

// forEach calls do for all numbers below n, several concurrently.
func forEach(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range n {
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

// setInterval changes the interval of all ImageRepositories.
func (f *fixture) setInterval(ctx context.Context, interval time.Duration) error {
	repos := &v1.ImageRepositoryList{}
	if err := f.api.List(ctx, repos, client.InNamespace(namespace)); err != nil {
		return err
	}
	return forEach(ctx, len(repos.Items), func(ctx context.Context, i int) error {
		repo := &repos.Items[i]
		original := repo.DeepCopy()
		repo.Spec.Interval.Duration = interval
		return f.api.Patch(ctx, repo, client.MergeFrom(original))
	})
}

// await waits until n policies that match are resolved with a digest, and returns the time
// since start. It watches, which costs the API server less than polling.
func (f *fixture) await(ctx context.Context, n int, start time.Time, match func(*v1.ImagePolicy) bool) (time.Duration, error) {
	resolved := map[string]bool{}
	for len(resolved) < n {
		policies, err := f.api.Watch(ctx, &v1.ImagePolicyList{}, client.InNamespace(namespace)) // begins with the existing objects
		if err != nil {
			return 0, fmt.Errorf("%d of %d policies are resolved: %w", len(resolved), n, err)
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
