// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// storeCleaner removes the tags of objects that were deleted, or moved to another shard, while the
// controller was down. It runs once, when the process starts or becomes the leader.
type storeCleaner struct {
	reader client.Reader
	store  *store.Store
}

// Start implements manager.Runnable.
func (c *storeCleaner) Start(ctx context.Context) error {
	if err := c.clean(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("removing the tags of deleted objects: %w", err)
	}
	return nil // at shutdown, the next start cleans up
}

func (c *storeCleaner) clean(ctx context.Context) error {
	// keys are listed first, so that the object of every listed key is in the list of objects
	stored, err := c.store.Keys(ctx)
	if err != nil {
		return err
	}
	repos := &v1.ImageRepositoryList{}
	if err := c.reader.List(ctx, repos, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	existing := make(map[store.Key]bool, len(repos.Items))
	for i := range repos.Items {
		existing[reconcile.StoreKey(&repos.Items[i])] = true
	}
	for _, key := range stored {
		if existing[key] {
			continue
		}
		if err := c.store.Delete(ctx, key); err != nil {
			return err
		}
		ctrl.Log.WithName("sweep").Info("removed the tags of an object that was deleted or belongs to another controller", "object", key.String())
	}
	return nil
}
