// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"reflect"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// statusWriter writes the status of one object, and only what changed of it
// since it was written last.
type statusWriter[T Object] struct {
	client    client.Client
	apiReader client.Reader
	newObject func() T
	// written is the object as the API server is known to have it.
	written T
}

// write patches the status. It never overwrites a status that somebody else
// changed since it was read: what was concluded from the old one could be
// wrong, and a conflict is returned. A change of anything but the status is no
// such conflict, and does not cost the work.
func (w *statusWriter[T]) write(ctx context.Context, obj T) error {
	if equality.Semantic.DeepEqual(w.written, obj) {
		return nil
	}
	err := w.patch(ctx, obj)
	if apierrors.IsConflict(err) && w.refresh(ctx, obj) {
		err = w.patch(ctx, obj)
	}
	return err
}

// patch leaves obj's spec and metadata as the work saw them, whatever the API
// server has by now. Writes are most of what an unchanged scan costs, so only
// the status is compared, and only metadata are asked for in return.
func (w *statusWriter[T]) patch(ctx context.Context, obj T) error {
	lock := client.MergeFromWithOptions(w.statusOnly(w.written), client.MergeFromWithOptimisticLock{})
	change, err := lock.Data(w.statusOnly(obj))
	if err != nil {
		return err
	}
	patched, err := w.metadata(obj)
	if err != nil {
		return err
	}
	if err := w.client.Status().Patch(ctx, patched, client.RawPatch(lock.Type(), change)); err != nil {
		return err
	}
	obj.SetResourceVersion(patched.GetResourceVersion())
	w.written = obj.DeepCopyObject().(T)
	return nil
}

// statusOnly returns the object with its status, and else only with what names it.
func (w *statusWriter[T]) statusOnly(obj T) T {
	bare := w.newObject()
	bare.SetNamespace(obj.GetNamespace())
	bare.SetName(obj.GetName())
	bare.SetResourceVersion(obj.GetResourceVersion())
	statusField(bare).Set(statusField(obj))
	return bare
}

// statusField returns the field that every object of the API has.
func statusField(obj runtime.Object) reflect.Value {
	return reflect.ValueOf(obj).Elem().FieldByName("Status")
}

func (w *statusWriter[T]) metadata(obj T) (*metav1.PartialObjectMetadata, error) {
	kind, err := w.client.GroupVersionKindFor(obj)
	if err != nil {
		return nil, err
	}
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(kind)
	metadata.SetNamespace(obj.GetNamespace())
	metadata.SetName(obj.GetName())
	return metadata, nil
}

// refresh takes over the live object's resource version where its status is
// still the one that the work began with.
func (w *statusWriter[T]) refresh(ctx context.Context, obj T) bool {
	live := w.newObject()
	if err := w.apiReader.Get(ctx, client.ObjectKeyFromObject(obj), live); err != nil {
		return false // the conflict is the better error
	}
	same := equality.Semantic.DeepEqual(statusField(live).Interface(), statusField(w.written).Interface())
	if live.GetUID() != obj.GetUID() || !same {
		return false
	}
	w.written.SetResourceVersion(live.GetResourceVersion())
	obj.SetResourceVersion(live.GetResourceVersion())
	return true
}
