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

// Shard is the part of a cluster's objects that this controller watches. The
// zero value is all of them.
type Shard struct {
	// Selector selects the shard's objects. All of them belong to it where it
	// is nil or empty.
	Selector labels.Selector
	// APIReader reads from the API server, whatever the labels.
	APIReader client.Reader
}

// location is where an ImageRepository is that is not in the cache.
type location int

const (
	absent     location = iota // it does not exist
	otherShard                 // it belongs to another shard
	pending                    // it belongs to this shard, and the cache lags behind
)

// locate says where an ImageRepository is that the cache does not have. It costs
// a request for the object's metadata, and none where there is but one shard.
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

// notCached says why the policy's ImageRepository can't be had. Objects that are
// moved to another shard get there one after the other, so a policy that is
// ready stays as it is until its repository was found elsewhere at two looks.
func (w *Worker) notCached(ctx context.Context, policy *v1.ImagePolicy, repo types.NamespacedName) error {
	where, err := w.Shard.locate(ctx, repo)
	if err == nil && repo.Namespace != policy.Namespace {
		err = w.checkVisible(ctx, policy.Namespace, repo, where)
	}
	if err != nil {
		return w.denied(err)
	}
	name := client.ObjectKeyFromObject(policy)
	if where == absent {
		w.missing.Forget(name)
		return conditions.Waiting(meta.DependencyNotReadyReason, w.RequeueDependency,
			fmt.Errorf("ImageRepository '%s' not found: create it, or correct spec.imageRepositoryRef", repo))
	}
	problem := fmt.Errorf("ImageRepository '%s' belongs to another controller than this ImagePolicy: its labels don't match '%s', "+
		"the --watch-label-selector of this one; give both the same labels", repo, w.Shard.Selector)
	left := w.RequeueDependency - w.missing.duration(name, time.Now())
	if where == pending || left > 0 && conditions.ReadyNow(policy) {
		return conditions.Deferred(max(left, time.Second), problem)
	}
	return conditions.Waiting(meta.DependencyNotReadyReason, w.RequeueDependency, problem)
}

// checkVisible returns an AccessDeniedError unless there is such a repository, in another
// namespace, that lets a policy in the namespace refer to it.
func (w *Worker) checkVisible(ctx context.Context, namespace string, name types.NamespacedName, where location) error {
	if where == absent {
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

// missingSince remembers since when policies are in another shard than their
// repositories.
type missingSince struct {
	reconcile.PerObject[time.Time]
}

// duration returns for how long the policy has been apart. The first call begins it.
func (a *missingSince) duration(policy types.NamespacedName, now time.Time) time.Duration {
	begun := a.Update(policy, func(begun time.Time, found bool) time.Time {
		if found {
			return begun
		}
		return now
	})
	return now.Sub(begun)
}
