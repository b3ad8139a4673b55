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
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// world is all that the two workers see of the outside, in memory.
type fixture struct {
	t      *testing.T
	repo   *v1.ImageRepository
	policy *v1.ImagePolicy
	store  *store.Store

	// what the registry has, and fails with
	tags   []string
	digest string
	down   error
	// images are what tags and digests point at, where that matters
	images map[string]*fakeImage
	// signed are the digests that somebody signed, and who, by the key now; a
	// fault of the verification is not about any image.
	signed map[string]string
	key    string
	fault  error
	// reason nobody is let in, and how many are inside
	busy   error
	inside int
	// requests that were made: "list", "digest TAG" or "head TAG"
	mu       sync.Mutex // guards requests
	requests []string

	policies *Worker
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	tags := store.New(t.TempDir(), store.Options{})
	t.Cleanup(func() { NewWithT(t).Expect(tags.Close()).To(Succeed()) })
	w := &fixture{
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
	w.policy.Spec.ImageRepositoryRef.Name = "app"
	auth := registry.AuthOptionsGetter(func(context.Context, *v1.ImageRepository) (registry.AuthOptions, error) {
		return registry.AuthOptions{}, nil
	})
	reader := newReader(t, w.repo)
	w.policies = &Worker{
		Reader: reader, Access: Access{Reader: reader}, Auth: auth, Open: w.open, Store: w.store, Verifiers: w,
		RequeueDependency: 30 * time.Second,
	}
	return w
}

// loseTags has the store lose all that it holds.
func (w *fixture) loseTags() {
	g, ctx := NewWithT(w.t), context.Background()
	keys, err := w.store.Keys(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	for _, key := range keys {
		g.Expect(w.store.Delete(ctx, key)).To(Succeed())
	}
}

func newReader(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	NewWithT(t).Expect(errors.Join(clientgoscheme.AddToScheme(scheme), v1.AddToScheme(scheme))).To(Succeed())
	objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other", Labels: map[string]string{"team": "b"}}})
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}

// open implements OpenRepository.
func (w *fixture) open(access registry.Access) Repository {
	return &fakeRepository{fixture: w, access: access}
}

// fakeRepository is a repository of the world's registry.
type fakeRepository struct {
	*fixture
	access   registry.Access
	admitted bool
}

// admit is what a registry.Repository does before its first request.
func (r *fakeRepository) admit(ctx context.Context) error {
	if r.admitted {
		return nil
	}
	if r.busy != nil {
		return r.busy
	}
	r.admitted = true
	r.inside++
	r.access.Admitted()
	_, err := r.access.Auth(ctx)
	return err
}

func (r *fakeRepository) Close() {
	if r.admitted {
		r.inside--
	}
}

func (r *fakeRepository) List(ctx context.Context, known registry.Fingerprint) (registry.TagList, error) {
	if err := r.admit(ctx); err != nil {
		return registry.TagList{}, err
	}
	return r.list(known)
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
	return nil, errors.New("the world's verifier reads no referrers")
}

func (w *fixture) list(known registry.Fingerprint) (registry.TagList, error) {
	w.requests = append(w.requests, "list")
	fingerprint := registry.Fingerprint(fmt.Sprintf("%q", w.tags))
	if known == fingerprint && w.down == nil {
		w.requests = append(w.requests, "unchanged")
		return registry.TagList{Unchanged: true, Fingerprint: known}, nil
	}
	return registry.TagList{Tags: slices.Clone(w.tags), Fingerprint: fingerprint}, w.down
}

func (w *fixture) digestOf(tag string) (string, error) {
	w.requests = append(w.requests, "digest "+tag)
	if w.images != nil && w.down == nil {
		if img := w.images[tag]; img != nil {
			return img.digest, nil
		}
		return "", fmt.Errorf("%s: %w", tag, registry.ErrNotFound)
	}
	return w.digest, w.down
}

// readyResult makes the store hold the tags, and the status say so, whatever the
// registry has.
func (w *fixture) scanned(g Gomega, tags ...string) {
	snapshot := scan.Next(scan.Snapshot{}, w.repo.Spec.Image, tags, time.Now())
	g.Expect(w.store.Put(context.Background(), store.KeyOf(w.repo), snapshot)).To(Succeed())
	w.repo.Status.ObservedImage = snapshot.Image
	w.repo.Status.LastScanResult = &v1.ScanResult{Revision: snapshot.Revision(), TagCount: len(snapshot.Tags)}
	w.saveRepository(g)
}

// saveRepository shows the repository as it is now to the policies.
func (w *fixture) saveRepository(g Gomega) {
	known, cluster := w.repo.DeepCopy(), w.policies.Reader.(client.Client)
	g.Expect(cluster.Get(context.Background(), client.ObjectKeyFromObject(w.repo), known)).To(Succeed())
	saved := w.repo.DeepCopy()
	saved.ResourceVersion = known.ResourceVersion
	g.Expect(cluster.Update(context.Background(), saved)).To(Succeed())
}

func noBegin(string) {}

// settle works on the policy and settles the outcome.
func (w *fixture) settle() error {
	before := w.policy.DeepCopy()
	result, err := w.policies.Work(context.Background(), w.policy, noBegin)
	conditions.Apply(before, w.policy, result, err, time.Now())
	return err
}

// asked returns the requests since the last call.
func (w *fixture) asked() []string {
	requests := w.requests
	w.requests = nil
	return requests
}
