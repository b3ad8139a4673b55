// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

func TestStoreCleaner_RemovesTagsOfDeletedObjects(t *testing.T) {
	g := NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(v1.AddToScheme(scheme)).To(Succeed())
	repo := &v1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "app", UID: "r"}}
	tags := store.New(t.TempDir(), store.Options{})
	t.Cleanup(func() { NewWithT(t).Expect(tags.Close()).To(Succeed()) })
	snapshot := scan.Next(scan.Snapshot{}, "ghcr.io/org/app", []string{"1.0.0"}, time.Now())
	deleted := store.Key{Namespace: "ns", Name: "app", UID: "older"}
	for _, key := range []store.Key{reconcile.StoreKey(repo), deleted} {
		g.Expect(tags.Put(t.Context(), key, snapshot)).To(Succeed())
	}

	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(repo).Build()
	g.Expect((&storeCleaner{reader: reader, store: tags}).Start(t.Context())).To(Succeed())
	g.Expect(tags.Keys(t.Context())).To(ConsistOf(reconcile.StoreKey(repo)))
}
