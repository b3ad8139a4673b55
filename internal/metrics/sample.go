// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"cmp"
	"slices"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// sample is a gauge that shares its labels with others. Separate labels of 10,000 objects would
// double the memory of the process during a collection.
type sample struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair // sorted by name
	value  float64
}

// Desc implements prometheus.Metric.
func (s *sample) Desc() *prometheus.Desc { return s.desc }

// Write implements prometheus.Metric.
func (s *sample) Write(out *dto.Metric) error {
	out.Label = s.labels
	out.Gauge = &dto.Gauge{Value: &s.value}
	return nil
}

// Labels that are shared between objects.
var (
	readyLabel = label("type", meta.ReadyCondition)
	kindLabels = map[string]*dto.LabelPair{
		v1.ImageRepositoryKind: label("kind", v1.ImageRepositoryKind),
		v1.ImagePolicyKind:     label("kind", v1.ImagePolicyKind),
	}
	statusLabels = map[metav1.ConditionStatus]*dto.LabelPair{
		metav1.ConditionTrue:    label("status", string(metav1.ConditionTrue)),
		metav1.ConditionFalse:   label("status", string(metav1.ConditionFalse)),
		metav1.ConditionUnknown: label("status", string(metav1.ConditionUnknown)),
	}
)

// objectLabels are the labels that all samples of an object share.
type objectLabels [2]*dto.LabelPair

func labelsOf(object client.Object) objectLabels {
	return objectLabels{label("name", object.GetName()), label("namespace", object.GetNamespace())}
}

// with returns a sample of the object with additional labels.
func (l objectLabels) with(desc *prometheus.Desc, value float64, more ...*dto.LabelPair) *sample {
	labels := append(more, l[:]...)
	slices.SortFunc(labels, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return &sample{desc, labels, value}
}

func label(name, value string) *dto.LabelPair {
	return &dto.LabelPair{Name: &name, Value: &value}
}
