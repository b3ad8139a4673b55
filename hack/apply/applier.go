// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// fieldOwner owns what is applied.
	fieldOwner = client.FieldOwner("image-reflector-install")

	// pollInterval is the time between two looks at what is waited for.
	pollInterval = 200 * time.Millisecond
)

// applier applies objects to a cluster, and says what it did.
type applier struct {
	client client.Client
	// namespace is where objects go that need one and name none.
	namespace string
	out       io.Writer
}

// apply applies the objects: namespaces and CRDs first, and the rest as soon
// as the CRDs are established. One that fails does not keep the others back.
func (a *applier) apply(ctx context.Context, objects []object) error {
	first, rest := split(objects)
	if err := each(first, func(obj object) error { return a.applyOne(ctx, obj) }); err != nil {
		return err
	}
	if err := each(first, func(obj object) error { return a.waitEstablished(ctx, obj) }); err != nil {
		return err
	}
	return each(rest, func(obj object) error { return a.applyOne(ctx, obj) })
}

// remove deletes the objects, the ones that others can't exist without last.
func (a *applier) remove(ctx context.Context, objects []object) error {
	first, rest := split(objects)
	slices.Reverse(first)
	slices.Reverse(rest)
	for _, phase := range [][]object{rest, first} {
		if err := each(phase, func(obj object) error { return a.removeOne(ctx, obj) }); err != nil {
			return err
		}
		if err := each(phase, func(obj object) error { return a.waitRemoved(ctx, obj) }); err != nil {
			return err
		}
	}
	return nil
}

// each does something with all objects, and returns all errors.
func each(objects []object, do func(object) error) error {
	var all []error
	for _, obj := range objects {
		if err := do(obj); err != nil {
			all = append(all, fmt.Errorf("%s: %w", title(obj), err))
		}
	}
	return errors.Join(all...)
}

func (a *applier) applyOne(ctx context.Context, obj object) error {
	before, err := a.settled(ctx, obj)
	if err != nil {
		return err
	}
	err = a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(obj), fieldOwner, client.ForceOwnership)
	if err != nil {
		return err
	}
	did := "configured"
	switch {
	case before == nil:
		did = "created"
	case before.GetResourceVersion() == obj.GetResourceVersion():
		did = "unchanged"
	}
	fmt.Fprintf(a.out, "%s %s\n", title(obj), did)
	return nil
}

// settled returns the object as the cluster has it, or nil. One that is being
// deleted can't be applied: that is waited for.
func (a *applier) settled(ctx context.Context, obj object) (object, error) {
	live, err := a.get(ctx, obj)
	if err != nil || live == nil || live.GetDeletionTimestamp() == nil {
		return live, err
	}
	fmt.Fprintf(a.out, "%s is still being deleted, waiting\n", title(obj))
	return nil, a.waitGone(ctx, obj)
}

// get returns the object as the cluster has it, or nil.
func (a *applier) get(ctx context.Context, obj object) (object, error) {
	if err := a.complete(obj); err != nil {
		return nil, err
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(obj.GroupVersionKind())
	err := a.client.Get(ctx, client.ObjectKeyFromObject(obj), live)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return live, nil
}

// complete gives an object the namespace it needs, and fails where the cluster
// doesn't know its kind.
func (a *applier) complete(obj object) error {
	namespaced, err := a.client.IsObjectNamespaced(obj)
	if meta.IsNoMatchError(err) {
		return &unknownKindError{kind: obj.GetKind(), group: obj.GroupVersionKind().GroupVersion().String(), err: err}
	}
	if err == nil && namespaced && obj.GetNamespace() == "" {
		obj.SetNamespace(a.namespace)
	}
	return err
}

// unknownKindError says that the cluster has no such kind.
type unknownKindError struct {
	kind, group string
	err         error
}

func (e *unknownKindError) Error() string {
	return fmt.Sprintf("the cluster knows no kind %s of %s: install its CRD first (make install)", e.kind, e.group)
}

func (e *unknownKindError) Unwrap() error { return e.err }

func (a *applier) removeOne(ctx context.Context, obj object) error {
	if err := a.complete(obj); err != nil {
		if meta.IsNoMatchError(err) {
			fmt.Fprintf(a.out, "%s is not there\n", title(obj))
			return nil
		}
		return err
	}
	err := a.client.Delete(ctx, obj, client.PropagationPolicy(metav1.DeletePropagationBackground))
	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		fmt.Fprintf(a.out, "%s is not there\n", title(obj))
		return nil
	case err != nil:
		return err
	}
	fmt.Fprintf(a.out, "%s deleted\n", title(obj))
	return nil
}

func (a *applier) waitEstablished(ctx context.Context, obj object) error {
	if !isDefinition(obj) {
		return nil
	}
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		live, err := a.get(ctx, obj)
		if err != nil || live == nil || !isEstablished(live) {
			return false, err
		}
		// It is told of a little later than it is established.
		_, err = a.client.RESTMapper().RESTMapping(definedKind(live))
		if meta.IsNoMatchError(err) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return fmt.Errorf("waiting for the API server to serve it: %w", err)
	}
	return nil
}

// waitRemoved waits until the object is gone. What is in a namespace may take
// long to end, and nothing here depends on it: that is not waited for.
func (a *applier) waitRemoved(ctx context.Context, obj object) error {
	if isNamespace(obj) {
		return nil
	}
	return a.waitGone(ctx, obj)
}

func (a *applier) waitGone(ctx context.Context, obj object) error {
	var last object
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		live, err := a.get(ctx, obj)
		if meta.IsNoMatchError(err) {
			return true, nil
		}
		if live != nil {
			last = live
		}
		return err == nil && live == nil, err
	})
	if err == nil {
		return nil
	}
	why := ""
	if last != nil {
		why = fmt.Sprintf(" (finalizers %v", last.GetFinalizers())
		if message, ok := condition(last, "Terminating")["message"]; ok {
			why += fmt.Sprintf(", %v", message)
		}
		why += ")"
	}
	return fmt.Errorf("waiting for its end%s: %w", why, err)
}
