// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// storeCleaner removes the tags of objects that vanished, or went to another shard,
// while nobody watched. The store is this shard's alone. It runs once, when the process starts or becomes the leader.
type storeCleaner struct {
	reader client.Reader
	store  *store.Store
}

// Start sweeps the store.
func (s *storeCleaner) Start(ctx context.Context) error {
	if err := s.clean(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("the tag store can't be swept: %w", err)
	}
	return nil // a process that ends leaves it to the next
}

func (s *storeCleaner) clean(ctx context.Context) error {
	// the store is read before the objects: what is stored meanwhile belongs
	// to an object that is not on the list yet
	stored, err := s.store.Keys(ctx)
	if err != nil {
		return err
	}
	repos := &v1.ImageRepositoryList{}
	if err := s.reader.List(ctx, repos, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	living := make(map[store.Key]bool, len(repos.Items))
	for i := range repos.Items {
		living[storeKey(&repos.Items[i])] = true
	}
	for _, key := range stored {
		if living[key] {
			continue
		}
		if err := s.store.Delete(ctx, key); err != nil {
			return err
		}
		ctrl.Log.WithName("sweep").Info("removed the tags of an object that is gone, or belongs to another controller", "object", key.String())
	}
	return nil
}
