// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// fixture is a worker with one ImagePolicy, its ImageRepository, a store and a fake registry.
type fixture struct {
	t      *testing.T
	repo   *v1.ImageRepository
	policy *v1.ImagePolicy
	store  *store.Store

	tags    []string              // in the registry
	digest  string                // of all tags, if images is nil
	images  map[string]*fakeImage // in the registry, by tag and digest
	down    error                 // returned by the registry
	busy    error                 // returned by the rate limiter
	tickets int                   // held by repositories

	signed map[string]string // signers by digest
	key    string            // the signer that the policy requires
	fault  error             // returned by the verification

	mu       sync.Mutex // guards requests
	requests []string   // that the registry received, such as "digest TAG" or "head TAG"

	worker *Worker
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	tags := store.New(t.TempDir(), store.Options{})
	t.Cleanup(func() { NewWithT(t).Expect(tags.Close()).To(Succeed()) })
	f := &fixture{
		t:      t,
		store:  tags,
		digest: "sha256:one",
		repo: &v1.ImageRepository{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "app", UID: "r"},
			Spec:       v1.ImageRepositorySpec{Image: "ghcr.io/org/app", Interval: metav1.Duration{Duration: time.Hour}},
		},
		policy: &v1.ImagePolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "app", UID: "p", Generation: 1},
			Spec:       v1.ImagePolicySpec{Policy: v1.ImagePolicyChoice{SemVer: &v1.SemVerPolicy{Range: ">=1.0.0"}}},
		},
	}
	f.policy.Spec.ImageRepositoryRef.Name = "app"
	auth := registry.AuthOptionsGetter(func(context.Context, *v1.ImageRepository) (registry.AuthOptions, error) {
		return registry.AuthOptions{}, nil
	})
	reader := newReader(t, f.repo)
	f.worker = &Worker{
		Reader: reader, Access: Access{Reader: reader}, Auth: auth, Open: f.openRepository, Store: f.store, Verifiers: f,
		RequeueDependency: 30 * time.Second,
	}
	return f
}

func newReader(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	NewWithT(t).Expect(errors.Join(clientgoscheme.AddToScheme(scheme), v1.AddToScheme(scheme))).To(Succeed())
	objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other", Labels: map[string]string{"team": "b"}}})
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}

// openRepository implements OpenRepository.
func (f *fixture) openRepository(access registry.Access) Repository {
	return &fakeRepository{fixture: f, access: access}
}

// fakeRepository is the repository of a fixture's registry.
type fakeRepository struct {
	*fixture
	access   registry.Access
	admitted bool
}

// admit takes the ticket and reads the credentials, as registry.Repository does before its first
// request.
func (r *fakeRepository) admit(ctx context.Context) error {
	if r.admitted {
		return nil
	}
	if r.busy != nil {
		return r.busy
	}
	r.admitted = true
	r.tickets++
	r.access.Granted()
	_, err := r.access.Auth(ctx)
	return err
}

func (r *fakeRepository) Close() {
	if r.admitted {
		r.tickets--
	}
}

func (r *fakeRepository) Digest(ctx context.Context, tag string) (string, error) {
	if err := r.admit(ctx); err != nil {
		return "", err
	}
	return r.digestOf(tag)
}

func (r *fakeRepository) Exists(ctx context.Context, tag string) (bool, error) {
	if err := r.admit(ctx); err != nil {
		return false, err
	}
	r.requests = append(r.requests, "head "+tag)
	return slices.Contains(r.tags, tag), r.down
}

func (r *fakeRepository) Referrers(context.Context, string) ([]registry.Referrer, error) {
	return nil, errors.New("the fake verifier reads no referrers")
}

func (f *fixture) digestOf(tag string) (string, error) {
	f.requests = append(f.requests, "digest "+tag)
	if f.images != nil && f.down == nil {
		if img := f.images[tag]; img != nil {
			return img.digest, nil
		}
		return "", fmt.Errorf("%s: %w", tag, registry.ErrNotFound)
	}
	return f.digest, f.down
}

// scanned writes the tags to the store and the status of the repository, without first-seen times
// of earlier scans.
func (f *fixture) scanned(g Gomega, tags ...string) {
	snapshot := scan.Next(scan.Snapshot{}, f.repo.Spec.Image, tags, time.Now())
	g.Expect(f.store.Put(context.Background(), reconcile.StoreKey(f.repo), snapshot)).To(Succeed())
	f.repo.Status.ObservedImage = snapshot.Image
	f.repo.Status.LastScanResult = &v1.ScanResult{Revision: snapshot.Revision(), TagCount: len(snapshot.Tags)}
	f.saveRepository(g)
}

// saveRepository updates the repository in the fake API server.
func (f *fixture) saveRepository(g Gomega) {
	current, cluster := f.repo.DeepCopy(), f.worker.Reader.(client.Client)
	g.Expect(cluster.Get(context.Background(), client.ObjectKeyFromObject(f.repo), current)).To(Succeed())
	saved := f.repo.DeepCopy()
	saved.ResourceVersion = current.ResourceVersion
	g.Expect(cluster.Update(context.Background(), saved)).To(Succeed())
}

func noProgress(string) {}

// reconcile runs the worker and writes the conditions.
func (f *fixture) reconcile() error {
	before := f.policy.DeepCopy()
	result, err := f.worker.Work(context.Background(), f.policy, noProgress)
	conditions.Apply(before, f.policy, result, err, time.Now())
	return err
}

// receivedRequests returns the requests since the last call.
func (f *fixture) receivedRequests() []string {
	requests := f.requests
	f.requests = nil
	return requests
}
