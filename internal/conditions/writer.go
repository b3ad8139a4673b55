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

// abnormal is the one of the conditions Reconciling and Stalled that an object has beside
// Ready, with its reason. The zero value is neither.
type abnormal struct{ kind, reason string }

// ready sets the condition Ready, and an abnormal one. kstatus understands that.
func (c writer) ready(status metav1.ConditionStatus, reason, message string, beside abnormal) {
	c.set(meta.ReadyCondition, status, reason, message)
	for _, kind := range []string{meta.ReconcilingCondition, meta.StalledCondition} {
		if kind == beside.kind {
			c.set(kind, metav1.ConditionTrue, beside.reason, message)
		} else {
			c.remove(kind)
		}
	}
}

// maxMessage is the API server's bound of a condition's message, in bytes at
// the least.
const maxMessage = 32768

func (c writer) set(kind string, status metav1.ConditionStatus, reason, message string) {
	list := c.obj.GetConditions()
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage-len("…")], "") + "…"
	}
	apimeta.SetStatusCondition(&list, metav1.Condition{
		Type:               kind,
		Status:             status,
		Reason:             reason,
		Message:            message,
		ObservedGeneration: c.obj.GetGeneration(),
		LastTransitionTime: c.now,
	})
	c.obj.SetConditions(list)
}

func (c writer) remove(kind string) {
	list := c.obj.GetConditions()
	apimeta.RemoveStatusCondition(&list, kind)
	c.obj.SetConditions(list)
}

func readyOf(obj Object) *metav1.Condition {
	return apimeta.FindStatusCondition(obj.GetConditions(), meta.ReadyCondition)
}

// setObservedGeneration notes the generation and the reconcile request that were handled.
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
