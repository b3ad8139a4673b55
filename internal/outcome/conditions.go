// SPDX-License-Identifier: Apache-2.0

package outcome

import (
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// conditions writes the conditions of one object. Each method leaves a
// combination that kstatus understands.
type conditions struct {
	obj Object
	now metav1.Time
}

func conditionsOf(obj Object, now time.Time) conditions {
	return conditions{obj: obj, now: metav1.NewTime(now).Rfc3339Copy()}
}

func (c conditions) ready(message string) {
	c.set(meta.ReadyCondition, metav1.ConditionTrue, meta.SucceededReason, message)
	c.remove(meta.ReconcilingCondition, meta.StalledCondition)
}

func (c conditions) notReady(reason, message string) {
	c.set(meta.ReadyCondition, metav1.ConditionFalse, reason, message)
	c.remove(meta.ReconcilingCondition, meta.StalledCondition)
}

func (c conditions) stalled(reason, message string) {
	c.set(meta.ReadyCondition, metav1.ConditionFalse, reason, message)
	c.set(meta.StalledCondition, metav1.ConditionTrue, reason, message)
	c.remove(meta.ReconcilingCondition)
}

func (c conditions) retrying(reason, message string) {
	c.set(meta.ReadyCondition, metav1.ConditionFalse, reason, message)
	c.set(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingWithRetryReason, message)
	c.remove(meta.StalledCondition)
}

func (c conditions) progressing(message string) {
	c.set(meta.ReadyCondition, metav1.ConditionUnknown, meta.ProgressingReason, message)
	c.set(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingReason, message)
	c.remove(meta.StalledCondition)
}

// maxMessage is the API server's bound of a condition's message, in bytes at
// the least.
const maxMessage = 32768

func (c conditions) set(kind string, status metav1.ConditionStatus, reason, message string) {
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

func (c conditions) remove(kinds ...string) {
	list := c.obj.GetConditions()
	for _, kind := range kinds {
		apimeta.RemoveStatusCondition(&list, kind)
	}
	c.obj.SetConditions(list)
}

func readyOf(obj Object) *metav1.Condition {
	return apimeta.FindStatusCondition(obj.GetConditions(), meta.ReadyCondition)
}

// observe notes the generation and the reconcile request that were handled.
func observe(obj Object) {
	generation := obj.GetGeneration()
	request, requested := meta.ReconcileAnnotationValue(obj.GetAnnotations())
	switch o := obj.(type) {
	case *v1.ImageRepository:
		o.Status.ObservedGeneration = generation
		if requested {
			o.Status.SetLastHandledReconcileRequest(request)
		}
	case *v1.ImagePolicy:
		o.Status.ObservedGeneration = generation
		if requested {
			o.Status.SetLastHandledReconcileRequest(request)
		}
	}
}
