// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// storedKeys stops the controller and returns the keys in its store.
func (f *fixture) storedKeys() []store.Key {
	f.t.Helper()
	return f.storedKeysOf(f.controller)
}

// storedKeysOf stops a controller and returns the keys in its store.
func (f *fixture) storedKeysOf(controller *recordedController) []store.Key {
	f.t.Helper()
	f.Expect(controller.Stop()).To(Succeed())
	tags := store.New(controller.StoragePath(), store.Options{})
	defer func() { f.Expect(tags.Close()).To(Succeed()) }()
	keys, err := tags.Keys(f.ctx)
	f.Expect(err).NotTo(HaveOccurred())
	return keys
}

// deleteAndWait deletes an object and waits until it does not exist.
func (f *fixture) deleteAndWait(obj client.Object) {
	f.t.Helper()
	f.Expect(suite.api.Delete(f.ctx, obj)).To(Succeed())
	f.Eventually(func() bool {
		return apierrors.IsNotFound(suite.api.Get(f.ctx, client.ObjectKeyFromObject(obj), obj))
	}).Should(BeTrue(), "%T %s must not hang", obj, obj.GetName())
}

func TestDeletion_CompletesAndRemovesStoredTags(t *testing.T) {
	f := newFixture(t)
	f.pushTags("app", "1.0.0")
	f.pushTags("other", "1.0.0")
	repo, policy, other := f.repository("app"), f.policy("app"), f.repository("other")
	awaitReady(f, policy)
	awaitReady(f, other)
	finalize := []string{v1.ImageFinalizer}
	edit(f, repo, func(r *v1.ImageRepository) { r.Finalizers = finalize })
	edit(f, policy, func(p *v1.ImagePolicy) { p.Finalizers = finalize })
	f.deleteAndWait(policy)
	f.deleteAndWait(repo)
	f.Expect(f.storedKeys()).To(ConsistOf(HaveField("UID", other.UID)))
}

func TestFinalizer_OfPreviousControllerIsRemoved(t *testing.T) {
	f := newFixture(t)
	f.pushTags("app", "1.0.0")
	repo := f.repository("app", func(r *v1.ImageRepository) { r.Finalizers = []string{v1.ImageFinalizer, "example.com/other"} })
	awaitReady(f, repo)
	f.Expect(repo.Finalizers).To(ConsistOf("example.com/other"), "only the finalizer of the controller is removed")
	edit(f, repo, func(r *v1.ImageRepository) { r.Finalizers = nil })
	f.deleteAndWait(repo)
}

func TestDeletion_IsHandledAfterRestart(t *testing.T) {
	f := newFixture(t)
	f.pushTags("app", "1.0.0")
	repo := f.repository("app")
	awaitReady(f, repo)
	f.Expect(f.storedKeys()).To(ConsistOf(HaveField("UID", repo.UID)))
	f.deleteAndWait(repo)

	recreated := f.repository("app", func(r *v1.ImageRepository) { r.ResourceVersion = "" })
	f.Expect(f.controller.Start(f.ctx)).To(Succeed())
	awaitReady(f, recreated)
	f.Expect(f.storedKeys()).To(ConsistOf(HaveField("UID", recreated.UID)), "the tags of the deleted object are removed")
}
