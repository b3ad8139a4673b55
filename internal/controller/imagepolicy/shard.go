// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
)

// Shard is the set of objects that this controller watches. The zero value is all objects.
type Shard struct {
	// Selector selects the objects by label. All objects belong to the shard if it is nil or empty.
	Selector labels.Selector
	// APIReader reads objects of all shards from the API server.
	APIReader client.Reader
}

// location is the reason why an ImageRepository is not in the cache.
type location int

const (
	absent     location = iota // it does not exist
	otherShard                 // it belongs to another shard
	pending                    // it belongs to this shard, and will be cached soon
)

// locate returns the location of an ImageRepository that is not in the cache. It requests the
// object's metadata, unless there is only one shard.
func (s Shard) locate(ctx context.Context, name types.NamespacedName) (location, error) {
	if s.Selector == nil || s.Selector.Empty() {
		return absent, nil
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(v1.GroupVersion.WithKind(v1.ImageRepositoryKind))
	err := s.APIReader.Get(ctx, name, object)
	switch {
	case apierrors.IsNotFound(err):
		return absent, nil
	case err != nil:
		return absent, fmt.Errorf("looking for ImageRepository '%s' in other shards: %w", name, err)
	case s.Selector.Matches(labels.Set(object.Labels)):
		return pending, nil
	default:
		return otherShard, nil
	}
}

// notCached returns the error about an ImageRepository that is not in the cache. Policies and
// repositories that are moved to another shard arrive one after the other, so a ready policy stays
// unchanged until its repository has been missing for RequeueDependency.
func (w *Worker) notCached(ctx context.Context, policy *v1.ImagePolicy, repo types.NamespacedName) error {
	found, err := w.Shard.locate(ctx, repo)
	if err == nil && repo.Namespace != policy.Namespace {
		err = w.checkVisible(ctx, policy.Namespace, repo, found)
	}
	if err != nil {
		return w.classifyAccessError(err)
	}
	name := client.ObjectKeyFromObject(policy)
	if found == absent {
		w.missing.Forget(name)
		return conditions.Waiting(meta.DependencyNotReadyReason, w.RequeueDependency,
			fmt.Errorf("ImageRepository '%s' not found: create it, or correct spec.imageRepositoryRef", repo))
	}
	problem := fmt.Errorf("ImageRepository '%s' belongs to another controller than this ImagePolicy: its labels don't match '%s', "+
		"the --watch-label-selector of this one; give both the same labels", repo, w.Shard.Selector)
	remaining := w.RequeueDependency - w.missing.durationFor(name, time.Now())
	if found == pending || remaining > 0 && conditions.ReadyNow(policy) {
		return conditions.Deferred(max(remaining, time.Second), problem)
	}
	return conditions.Waiting(meta.DependencyNotReadyReason, w.RequeueDependency, problem)
}

// checkVisible returns an AccessDeniedError unless the repository exists and allows policies in the
// namespace.
func (w *Worker) checkVisible(ctx context.Context, namespace string, name types.NamespacedName, found location) error {
	if found == absent {
		return notSharedError(name, namespace)
	}
	repo := &v1.ImageRepository{}
	if err := w.Shard.APIReader.Get(ctx, name, repo); err != nil {
		if apierrors.IsNotFound(err) {
			return notSharedError(name, namespace)
		}
		return err
	}
	return w.Access.check(ctx, repo, namespace)
}

// missingSince records since when the repositories of policies are missing from their shard.
type missingSince struct {
	reconcile.PerObject[time.Time]
}

// durationFor returns how long the repository of a policy has been missing, 0 at the first call.
func (m *missingSince) durationFor(policy types.NamespacedName, now time.Time) time.Duration {
	since := m.Update(policy, func(since time.Time, found bool) time.Time {
		if found {
			return since
		}
		return now
	})
	return now.Sub(since)
}
