// SPDX-License-Identifier: Apache-2.0

package imagerepository

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// fixture is a worker with one ImageRepository, a store and a fake registry.
type fixture struct {
	t      *testing.T
	repo   *v1.ImageRepository
	store  *store.Store
	worker *Worker

	tags []string // in the registry
	down error    // returned by the registry
	busy error    // returned by the rate limiter

	requests []string // that the registry received
	open     int      // repositories that were not closed
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	tags := store.New(t.TempDir(), store.Options{})
	t.Cleanup(func() { NewWithT(t).Expect(tags.Close()).To(Succeed()) })
	f := &fixture{t: t, store: tags, repo: &v1.ImageRepository{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "app", UID: "r"},
		Spec:       v1.ImageRepositorySpec{Image: "ghcr.io/org/app", Interval: metav1.Duration{Duration: time.Hour}},
	}}
	auth := registry.AuthOptionsGetter(func(context.Context, *v1.ImageRepository) (registry.AuthOptions, error) {
		return registry.AuthOptions{}, nil
	})
	f.worker = &Worker{Auth: auth, Store: tags, Open: func(access registry.Access) Repository { return &fakeRepository{f, access, false} }}
	return f
}

// fakeRepository lists the tags of a fixture.
type fakeRepository struct {
	*fixture
	access   registry.Access
	admitted bool
}

func (r *fakeRepository) List(ctx context.Context, known registry.Fingerprint) (registry.TagList, error) {
	if r.busy != nil {
		return registry.TagList{}, r.busy
	}
	r.admitted = true
	r.open++
	r.access.Granted()
	if _, err := r.access.Auth(ctx); err != nil {
		return registry.TagList{}, err
	}
	r.requests = append(r.requests, "list")
	fingerprint := registry.Fingerprint(fmt.Sprintf("%q", r.tags))
	if known == fingerprint && r.down == nil {
		r.requests = append(r.requests, "unchanged")
		return registry.TagList{Unchanged: true, Fingerprint: known}, nil
	}
	return registry.TagList{Tags: slices.Clone(r.tags), Fingerprint: fingerprint}, r.down
}

func (r *fakeRepository) Close() {
	if r.admitted {
		r.open--
	}
}

func noProgress(string) {}

// scan runs the worker, and writes the conditions.
func (f *fixture) scan() (conditions.Result, error) {
	before := f.repo.DeepCopy()
	result, err := f.worker.Work(context.Background(), f.repo, noProgress)
	conditions.Apply(before, f.repo, result, err, time.Now())
	return result, err
}

// scans expects a scan to succeed.
func (f *fixture) scans(g Gomega) {
	g.Expect(f.scan()).Error().NotTo(HaveOccurred())
}

// received returns the requests since the last call.
func (f *fixture) received() []string {
	requests := f.requests
	f.requests = nil
	return requests
}

// clearStore deletes all tags from the store.
func (f *fixture) clearStore() {
	g, ctx := NewWithT(f.t), context.Background()
	keys, err := f.store.Keys(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	for _, key := range keys {
		g.Expect(f.store.Delete(ctx, key)).To(Succeed())
	}
}
