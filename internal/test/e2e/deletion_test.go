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

// stored returns the keys in the store of the controller, which it stops.
func (s *scene) stored() []store.Key {
	s.t.Helper()
	return s.storedBy(s.controller)
}

func (s *scene) storedBy(controller *recorded) []store.Key {
	s.t.Helper()
	s.Expect(controller.Stop()).To(Succeed())
	tags := store.New(controller.StoragePath(), store.Options{})
	defer func() { s.Expect(tags.Close()).To(Succeed()) }()
	keys, err := tags.Keys(s.ctx)
	s.Expect(err).NotTo(HaveOccurred())
	return keys
}

func (s *scene) deleted(obj client.Object) {
	s.t.Helper()
	s.Expect(suite.api.Delete(s.ctx, obj)).To(Succeed())
	s.Eventually(func() bool {
		return apierrors.IsNotFound(suite.api.Get(s.ctx, client.ObjectKeyFromObject(obj), obj))
	}).Should(BeTrue(), "%T %s must not hang", obj, obj.GetName())
}

func TestDeletion_CompletesAndRemovesStoredTags(t *testing.T) {
	s := newScene(t)
	s.pushTags("app", "1.0.0")
	s.pushTags("kept", "1.0.0")
	repo, policy, kept := s.repository("app"), s.policy("app"), s.repository("kept")
	ready(s, policy)
	ready(s, kept)
	finalize := []string{v1.ImageFinalizer}
	edit(s, repo, func(r *v1.ImageRepository) { r.Finalizers = finalize })
	edit(s, policy, func(p *v1.ImagePolicy) { p.Finalizers = finalize })
	s.deleted(policy)
	s.deleted(repo)
	s.Expect(s.stored()).To(ConsistOf(HaveField("UID", kept.UID)))
}

func TestFinalizer_OfPreviousControllerIsRemoved(t *testing.T) {
	s := newScene(t)
	s.pushTags("app", "1.0.0")
	repo := s.repository("app", func(r *v1.ImageRepository) { r.Finalizers = []string{v1.ImageFinalizer, "example.com/other"} })
	ready(s, repo)
	s.Expect(repo.Finalizers).To(ConsistOf("example.com/other"), "before a deletion can hang, and no other")
	edit(s, repo, func(r *v1.ImageRepository) { r.Finalizers = nil })
	s.deleted(repo)
}

func TestDeletion_IsHandledAfterRestart(t *testing.T) {
	s := newScene(t)
	s.pushTags("app", "1.0.0")
	repo := s.repository("app")
	ready(s, repo)
	s.Expect(s.stored()).To(ConsistOf(HaveField("UID", repo.UID)))
	s.deleted(repo)

	again := s.repository("app", func(r *v1.ImageRepository) { r.ResourceVersion = "" })
	s.Expect(s.controller.Start(s.ctx)).To(Succeed())
	ready(s, again)
	s.Expect(s.stored()).To(ConsistOf(HaveField("UID", again.UID)), "the tags of the older object are swept")
}
