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

// statusWriter patches the status of one object with the changes since the last write.
type statusWriter[T Object] struct {
	client    client.Client
	apiReader client.Reader
	newObject func() T
	written   T // the object as last read or written
}

// write patches the status. If another client changed the status since it was read, it returns a
// conflict: the result could be based on outdated data. If only metadata or spec changed, the patch
// is retried, so that the result is not lost.
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

// patch sends the changes of the status. Spec and metadata of obj stay unchanged, except for the
// resource version. Writes are most of the cost of an unchanged scan, so only the status is
// compared, and only metadata is requested in the response.
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

// statusOnly returns an object with only the name, the resource version and the status of obj.
func (w *statusWriter[T]) statusOnly(obj T) T {
	stripped := w.newObject()
	stripped.SetNamespace(obj.GetNamespace())
	stripped.SetName(obj.GetName())
	stripped.SetResourceVersion(obj.GetResourceVersion())
	statusField(stripped).Set(statusField(obj))
	return stripped
}

// statusField returns the field Status of an object, whose type differs by kind.
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

// refresh sets the resource version to the live one if the live status did not change, and reports
// whether it did so.
func (w *statusWriter[T]) refresh(ctx context.Context, obj T) bool {
	live := w.newObject()
	if err := w.apiReader.Get(ctx, client.ObjectKeyFromObject(obj), live); err != nil {
		return false // the caller returns the conflict
	}
	same := equality.Semantic.DeepEqual(statusField(live).Interface(), statusField(w.written).Interface())
	if live.GetUID() != obj.GetUID() || !same {
		return false
	}
	w.written.SetResourceVersion(live.GetResourceVersion())
	obj.SetResourceVersion(live.GetResourceVersion())
	return true
}
