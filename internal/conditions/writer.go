// SPDX-License-Identifier: Apache-2.0

package conditions

import (
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// writer writes the conditions of one object.
type writer struct {
	obj Object
	now metav1.Time
}

func newWriter(obj Object, now time.Time) writer {
	return writer{obj: obj, now: metav1.NewTime(now).Rfc3339Copy()}
}

// abnormal is the condition Reconciling or Stalled with its reason. The zero value is neither.
type abnormal struct{ kind, reason string }

// ready sets the condition Ready, sets the abnormal one, and removes the others, as kstatus
// expects.
func (w writer) ready(status metav1.ConditionStatus, reason, message string, also abnormal) {
	w.set(meta.ReadyCondition, status, reason, message)
	for _, kind := range []string{meta.ReconcilingCondition, meta.StalledCondition} {
		if kind == also.kind {
			w.set(kind, metav1.ConditionTrue, also.reason, message)
		} else {
			w.remove(kind)
		}
	}
}

// maxMessage is the longest message that the API server accepts, in characters. Bytes are counted
// here, which are never fewer.
const maxMessage = 32768

func (w writer) set(kind string, status metav1.ConditionStatus, reason, message string) {
	list := w.obj.GetConditions()
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage-len("…")], "") + "…"
	}
	apimeta.SetStatusCondition(&list, metav1.Condition{
		Type:               kind,
		Status:             status,
		Reason:             reason,
		Message:            message,
		ObservedGeneration: w.obj.GetGeneration(),
		LastTransitionTime: w.now,
	})
	w.obj.SetConditions(list)
}

func (w writer) remove(kind string) {
	list := w.obj.GetConditions()
	apimeta.RemoveStatusCondition(&list, kind)
	w.obj.SetConditions(list)
}

// removeOutdated removes a condition that is about an earlier generation.
func (w writer) removeOutdated(kind string) {
	if c := apimeta.FindStatusCondition(w.obj.GetConditions(), kind); c != nil && c.ObservedGeneration != w.obj.GetGeneration() {
		w.remove(kind)
	}
}

func readyOf(obj Object) *metav1.Condition {
	return apimeta.FindStatusCondition(obj.GetConditions(), meta.ReadyCondition)
}

// setObservedGeneration records the generation and the reconcile request that were handled.
func setObservedGeneration(obj Object) {
	var handled *meta.ReconcileRequestStatus
	switch o := obj.(type) {
	case *v1.ImageRepository:
		o.Status.ObservedGeneration, handled = o.Generation, &o.Status.ReconcileRequestStatus
	case *v1.ImagePolicy:
		o.Status.ObservedGeneration, handled = o.Generation, &o.Status.ReconcileRequestStatus
	}
	if request, requested := meta.ReconcileAnnotationValue(obj.GetAnnotations()); requested && handled != nil {
		handled.SetLastHandledReconcileRequest(request)
	}
}
