// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/api/v1beta2"
)

// flux makes the requests that the flux CLI makes, with the types of one version
// of the API, and waits by the same rules. make conformance runs the CLI itself.
type flux struct {
	*scene
	version schema.GroupVersion
	timeout time.Duration
}

// impatient is the CLI with a short timeout, for what a test expects not to come.
func (f flux) impatient() flux {
	f.timeout = 3 * time.Second
	return f
}

// fluxObject is an object of either kind and version.
type fluxObject interface {
	client.Object
	GetConditions() []metav1.Condition
}

func (f flux) new(kind string) fluxObject {
	obj, err := suite.api.Scheme().New(f.version.WithKind(kind))
	f.Expect(err).NotTo(HaveOccurred())
	return obj.(fluxObject)
}

func (f flux) repository() fluxObject { return f.new(v1.ImageRepositoryKind) }

func (f flux) policy() fluxObject { return f.new(v1.ImagePolicyKind) }

// part is what tests look at in an object, whatever its version is.
type part struct {
	repository *v1.ImageRepositorySpec
	policy     *v1.ImagePolicySpec
	scanned    *v1.ImageRepositoryStatus
	selected   *v1.ImagePolicyStatus
}

func parts(obj client.Object) part {
	switch o := obj.(type) {
	case *v1.ImageRepository:
		return part{repository: &o.Spec, scanned: &o.Status}
	case *v1beta2.ImageRepository:
		return part{repository: &o.Spec, scanned: &o.Status}
	case *v1.ImagePolicy:
		return part{policy: &o.Spec, selected: &o.Status}
	case *v1beta2.ImagePolicy:
		return part{policy: &o.Spec, selected: &o.Status}
	}
	return part{}
}

func suspension(obj client.Object) *bool {
	if p := parts(obj); p.repository != nil {
		return &p.repository.Suspend
	}
	return &parts(obj).policy.Suspend
}

func handled(obj client.Object) string {
	if p := parts(obj); p.scanned != nil {
		return p.scanned.LastHandledReconcileAt
	}
	return parts(obj).selected.LastHandledReconcileAt
}

// create is "flux create image": the object is made or replaced, and then waited
// for. set writes the spec anew.
func (f flux) create(obj fluxObject, name string, set func(part)) error {
	obj.SetNamespace(f.namespace)
	obj.SetName(name)
	_, err := controllerutil.CreateOrUpdate(f.ctx, suite.api, obj, func() error {
		if p := parts(obj); p.repository != nil {
			*p.repository = v1.ImageRepositorySpec{}
		} else {
			*p.policy = v1.ImagePolicySpec{}
		}
		set(parts(obj))
		obj.SetLabels(map[string]string{shardLabel: f.namespace})
		return nil
	})
	if err != nil {
		return err
	}
	return f.awaitReady(obj)
}

// errPatience is what the CLI ends with when it has waited for long enough.
var errPatience = context.DeadlineExceeded

func (f flux) poll(condition func() (bool, error)) error {
	return wait.PollUntilContextTimeout(f.ctx, 50*time.Millisecond, f.timeout, true,
		func(context.Context) (bool, error) { return condition() })
}

// awaitReady is how create and resume wait: for a Ready condition that is about
// the spec as it is, and then by kstatus.
func (f flux) awaitReady(obj fluxObject) error {
	return f.poll(func() (bool, error) {
		if err := suite.api.Get(f.ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
			return false, err
		}
		ready := apimeta.FindStatusCondition(obj.GetConditions(), meta.ReadyCondition)
		if ready == nil || ready.ObservedGeneration != obj.GetGeneration() {
			return false, nil
		}
		return f.current(obj)
	})
}

// current says whether kstatus calls the object current, and what it says of
// one that failed.
func (f flux) current(obj client.Object) (bool, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return false, err
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: content})
	switch {
	case err != nil:
		return false, err
	case result.Status == status.CurrentStatus:
		return true, nil
	case result.Status == status.InProgressStatus:
		return false, nil
	default:
		return false, errors.New(result.Message)
	}
}

// reconcile is "flux reconcile image": the annotation is patched on by way of
// the metadata alone, and then the answer to it is waited for.
func (f flux) reconcile(obj fluxObject, name string) error {
	key := client.ObjectKey{Namespace: f.namespace, Name: name}
	if err := suite.api.Get(f.ctx, key, obj); err != nil {
		return err
	}
	if *suspension(obj) {
		return errors.New("resource is suspended")
	}
	before := handled(obj)
	if err := f.annotate(obj, time.Now().Format(time.RFC3339Nano)); err != nil {
		return err
	}
	err := f.poll(func() (bool, error) {
		if err := suite.api.Get(f.ctx, key, obj); err != nil || handled(obj) == before {
			return false, err
		}
		return f.current(obj)
	})
	if ready := apimeta.FindStatusCondition(obj.GetConditions(), meta.ReadyCondition); err == nil && ready.Status != metav1.ConditionTrue {
		return fmt.Errorf("reconciliation failed: %s", ready.Message)
	}
	return err
}

func (f flux) annotate(obj client.Object, token string) error {
	kind, err := suite.api.GroupVersionKindFor(obj)
	if err != nil {
		return err
	}
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(kind)
	if err := suite.api.Get(f.ctx, client.ObjectKeyFromObject(obj), metadata); err != nil {
		return err
	}
	patch := client.MergeFrom(metadata.DeepCopy())
	metav1.SetMetaDataAnnotation(&metadata.ObjectMeta, meta.ReconcileRequestAnnotation, token)
	return suite.api.Patch(f.ctx, metadata, patch)
}

// find is how suspend, resume and get look for one object: a list, by its name.
func (f flux) find(kind, name string) []fluxObject {
	f.t.Helper()
	list, err := suite.api.Scheme().New(f.version.WithKind(kind + "List"))
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(suite.api.List(f.ctx, list.(client.ObjectList), client.InNamespace(f.namespace),
		client.MatchingFields{"metadata.name": name})).To(Succeed())
	items, err := apimeta.ExtractList(list)
	f.Expect(err).NotTo(HaveOccurred())
	var found []fluxObject
	for _, item := range items {
		found = append(found, item.(fluxObject))
	}
	return found
}

// suspend is "flux suspend image" and, with false, the first half of "flux
// resume image".
func (f flux) suspend(kind, name string, to bool) fluxObject {
	f.t.Helper()
	found := f.find(kind, name)
	f.Expect(found).To(HaveLen(1))
	patch := client.MergeFrom(found[0].DeepCopyObject().(client.Object))
	*suspension(found[0]) = to
	f.Expect(suite.api.Patch(f.ctx, found[0], patch)).To(Succeed())
	return found[0]
}

// get is "flux get image repository" or "policy": the columns that the CLI of
// the version prints.
func (f flux) get(kind, name string) []string {
	f.t.Helper()
	found := f.find(kind, name)
	f.Expect(found).To(HaveLen(1))
	columns := []string{found[0].GetName()}
	p := parts(found[0])
	switch {
	case p.scanned != nil:
		scan := ""
		if last := p.scanned.LastScanResult; last != nil {
			scan = last.ScanTime.Format(time.RFC3339)
		}
		columns = append(columns, scan, strconv.FormatBool(p.repository.Suspend))
	case f.version == v1beta2.GroupVersion:
		columns = append(columns, p.selected.LatestImage)
	default:
		image, tag := "", ""
		if ref := p.selected.LatestRef; ref != nil {
			image, tag = ref.Name, ref.Tag
		}
		columns = append(columns, image, tag)
	}
	if ready := apimeta.FindStatusCondition(found[0].GetConditions(), meta.ReadyCondition); ready != nil {
		return append(columns, string(ready.Status), ready.Message)
	}
	return append(columns, "False", "waiting to be reconciled")
}

// eventsFor is "flux events --for": by the kind and the name, and no more.
func (f flux) eventsFor(kind, name string) []string {
	f.t.Helper()
	list := &corev1.EventList{}
	f.Expect(suite.api.List(f.ctx, list, client.InNamespace(f.namespace), client.MatchingFieldsSelector{Selector: fields.AndSelectors(
		fields.OneTermEqualSelector("involvedObject.kind", kind), fields.OneTermEqualSelector("involvedObject.name", name))})).To(Succeed())
	var told []string
	for _, event := range list.Items {
		told = append(told, event.Type+" "+event.Reason+" "+event.Message)
	}
	return told
}
