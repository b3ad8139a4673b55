// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/prometheus/client_golang/prometheus"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// listTimeout bounds how long a collection waits for the cache.
const listTimeout = 10 * time.Second

// gauge is a metric with samples of each object.
type gauge struct {
	*prometheus.Desc
	name, help string
	labels     []string
	// samples calls add with the samples of an object and the values of their labels, which are
	// only valid during the call.
	samples func(o *object, add func(value float64, labels []string))
}

func newGauge(name, help string, labels []string, samples func(*object, func(float64, []string))) *gauge {
	return &gauge{prometheus.NewDesc(name, help, labels, nil), name, help, labels, samples}
}

func (g *gauge) metric(value float64, labels []string) prometheus.Metric {
	metric, err := prometheus.NewConstMetric(g.Desc, prometheus.GaugeValue, value, labels...)
	if err != nil {
		return prometheus.NewInvalidMetric(g.Desc, err)
	}
	return metric
}

var (
	allKinds = []string{"kind", "name", "namespace"}
	oneKind  = []string{"namespace", "name"}

	gauges = []*gauge{
		newGauge("gotk_reconcile_condition",
			"Whether the condition Ready of an object has a status: 1 for the status that it has, 0 for the others of True, False and Unknown.",
			[]string{"kind", "name", "namespace", "type", "status"}, readySamples),
		newGauge("gotk_suspend_status", "Whether an object is suspended: 1 or 0.", allKinds,
			func(o *object, add func(float64, []string)) {
				add(number(o.suspended), o.values(o.kind, o.GetName(), o.GetNamespace()))
			}),
		newGauge("image_policy_info", "The image that a policy has selected, by its status.latestRef: always 1.",
			[]string{"namespace", "name", "image", "tag", "digest"},
			func(o *object, add func(float64, []string)) {
				if o.policy != nil && o.policy.Status.LatestRef != nil {
					ref := o.policy.Status.LatestRef
					add(1, o.values(o.GetNamespace(), o.GetName(), ref.Name, ref.Tag, ref.Digest))
				}
			}),
		newGauge("image_reflector_repository_tags", "The number of tags found by the last successful scan of a repository.", oneKind,
			ofScan(func(last *v1.ScanResult) float64 { return float64(last.TagCount) })),
		newGauge("image_reflector_repository_last_scan_timestamp_seconds", "The Unix time of the last successful scan of a repository.", oneKind,
			ofScan(func(last *v1.ScanResult) float64 { return float64(last.ScanTime.Unix()) })),
		newGauge("image_reflector_repository_interval_seconds", "The time between two scans of a repository, by its spec.interval.", oneKind,
			func(o *object, add func(float64, []string)) {
				if o.repository != nil {
					add(o.repository.GetRequeueAfter().Seconds(), o.values(o.GetNamespace(), o.GetName()))
				}
			}),
	}
)

func readySamples(o *object, add func(float64, []string)) {
	status := metav1.ConditionUnknown // if there is no condition
	if ready := apimeta.FindStatusCondition(o.conditions, meta.ReadyCondition); ready != nil {
		status = ready.Status
	}
	for _, value := range []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown} {
		add(number(value == status), o.values(o.kind, o.GetName(), o.GetNamespace(), meta.ReadyCondition, string(value)))
	}
}

// ofScan returns the samples of a value of the last successful scan.
func ofScan(value func(*v1.ScanResult) float64) func(*object, func(float64, []string)) {
	return func(o *object, add func(float64, []string)) {
		if o.repository != nil && o.repository.Status.LastScanResult != nil {
			add(value(o.repository.Status.LastScanResult), o.values(o.GetNamespace(), o.GetName()))
		}
	}
}

func number(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}

// object is an ImageRepository or an ImagePolicy.
type object struct {
	client.Object
	repository *v1.ImageRepository
	policy     *v1.ImagePolicy
	kind       string
	conditions []metav1.Condition
	suspended  bool
	buffer     [5]string
}

// values returns the values of labels in a slice that the next call overwrites.
func (o *object) values(values ...string) []string { return append(o.buffer[:0], values...) }

// Objects has the metrics about the objects and their status, which an Exporter serves. It must not
// be registered, too: it is a collector for tests and docs/metrics.md. It reads the objects from the
// cache each time, so it uses no memory in between and needs no cleanup after
// deletions.
type Objects struct {
	// Context ends with the process.
	Context context.Context
	// Reader reads objects from the cache.
	Reader client.Reader
	// Elected is closed when this process becomes the leader. Before, nothing is exported, so that
	// only one replica exports metrics of an object.
	Elected <-chan struct{}
}

// Describe implements prometheus.Collector.
func (o *Objects) Describe(descs chan<- *prometheus.Desc) {
	for _, g := range gauges {
		descs <- g.Desc
	}
}

// Collect implements prometheus.Collector. Objects that can't be read are omitted.
func (o *Objects) Collect(out chan<- prometheus.Metric) {
	o.each(func(g *gauge, value float64, labels []string) { out <- g.metric(value, labels) })
}

// each calls use with the samples of all objects, those of one gauge after those of another.
func (o *Objects) each(use func(g *gauge, value float64, labels []string)) {
	select {
	case <-o.Elected:
	default:
		return
	}
	ctx, cancel := context.WithTimeout(o.Context, listTimeout)
	defer cancel()
	// the objects are not modified, so they need not be copied
	var repositories v1.ImageRepositoryList
	if o.Reader.List(ctx, &repositories, client.UnsafeDisableDeepCopy) != nil {
		repositories.Items = nil
	}
	var policies v1.ImagePolicyList
	if o.Reader.List(ctx, &policies, client.UnsafeDisableDeepCopy) != nil {
		policies.Items = nil
	}
	current := &object{} // reused
	for _, g := range gauges {
		add := func(value float64, labels []string) {
			for i, label := range labels {
				labels[i] = strings.ToValidUTF8(label, "\uFFFD") // Prometheus rejects a response with others
			}
			use(g, value, labels)
		}
		for i := range repositories.Items {
			r := &repositories.Items[i]
			*current = object{Object: r, repository: r, kind: v1.ImageRepositoryKind, conditions: r.Status.Conditions, suspended: r.Spec.Suspend}
			g.samples(current, add)
		}
		for i := range policies.Items {
			p := &policies.Items[i]
			*current = object{Object: p, policy: p, kind: v1.ImagePolicyKind, conditions: p.Status.Conditions, suspended: p.Spec.Suspend}
			g.samples(current, add)
		}
	}
}
