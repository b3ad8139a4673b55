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
	before, after, changed := w.changes(obj)
	if !changed {
		return nil
	}
	err := w.patch(ctx, obj, before, after)
	if apierrors.IsConflict(err) && w.refresh(ctx, obj) {
		before.SetResourceVersion(obj.GetResourceVersion())
		err = w.patch(ctx, obj, before, after)
	}
	return err
}

// changes returns the written and the current object with only the fields of the status that
// differ, and reports whether there are any. Writes are most of the cost of an unchanged scan, and
// most fields stay the same: those are not encoded.
func (w *statusWriter[T]) changes(obj T) (T, T, bool) {
	before, after, changed := w.nameOnly(obj), w.nameOnly(obj), false
	written, current := statusField(w.written), statusField(obj)
	for i := range written.NumField() {
		if !equality.Semantic.DeepEqual(written.Field(i).Interface(), current.Field(i).Interface()) {
			statusField(before).Field(i).Set(written.Field(i))
			statusField(after).Field(i).Set(current.Field(i))
			changed = true
		}
	}
	return before, after, changed
}

// patch sends the difference between two objects. Only metadata is requested in the response: spec
// and metadata of obj stay unchanged, except for the resource version.
func (w *statusWriter[T]) patch(ctx context.Context, obj, before, after T) error {
	lock := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	change, err := lock.Data(after)
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
	w.written = obj
	return nil
}

// nameOnly returns an object with only the name and the resource version of obj.
func (w *statusWriter[T]) nameOnly(obj T) T {
	stripped := w.newObject()
	stripped.SetNamespace(obj.GetNamespace())
	stripped.SetName(obj.GetName())
	stripped.SetResourceVersion(obj.GetResourceVersion())
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
