// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
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

var (
	readyDesc = prometheus.NewDesc("gotk_reconcile_condition",
		"Whether the condition Ready of an object has a status: 1 for the status that it has, 0 for the others of True, False and Unknown.",
		[]string{"kind", "name", "namespace", "type", "status"}, nil)
	suspendedDesc = prometheus.NewDesc("gotk_suspend_status",
		"Whether an object is suspended: 1 or 0.",
		[]string{"kind", "name", "namespace"}, nil)
	policyDesc = prometheus.NewDesc("image_policy_info",
		"The image that a policy has selected, by its status.latestRef: always 1.",
		[]string{"namespace", "name", "image", "tag", "digest"}, nil)
	tagsDesc = prometheus.NewDesc("image_reflector_repository_tags",
		"The number of tags found by the last successful scan of a repository.",
		[]string{"namespace", "name"}, nil)
	scannedDesc = prometheus.NewDesc("image_reflector_repository_last_scan_timestamp_seconds",
		"The Unix time of the last successful scan of a repository.",
		[]string{"namespace", "name"}, nil)
	intervalDesc = prometheus.NewDesc("image_reflector_repository_interval_seconds",
		"The time between two scans of a repository, by its spec.interval.",
		[]string{"namespace", "name"}, nil)
)

// Objects is a collector of metrics about the objects and their status. It reads the objects from
// the cache at each collection, so it uses no memory in between and needs no cleanup after
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
	for _, desc := range []*prometheus.Desc{readyDesc, suspendedDesc, policyDesc, tagsDesc, scannedDesc, intervalDesc} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector. Objects that can't be read are omitted.
func (o *Objects) Collect(out chan<- prometheus.Metric) {
	select {
	case <-o.Elected:
	default:
		return
	}
	ctx, cancel := context.WithTimeout(o.Context, listTimeout)
	defer cancel()
	// the objects are not modified, so they need not be copied
	var repositories v1.ImageRepositoryList
	if o.Reader.List(ctx, &repositories, client.UnsafeDisableDeepCopy) == nil {
		for i := range repositories.Items {
			collectRepository(out, &repositories.Items[i])
		}
	}
	var policies v1.ImagePolicyList
	if o.Reader.List(ctx, &policies, client.UnsafeDisableDeepCopy) == nil {
		for i := range policies.Items {
			collectPolicy(out, &policies.Items[i])
		}
	}
}

func collectRepository(out chan<- prometheus.Metric, repo *v1.ImageRepository) {
	labels := labelsOf(repo)
	labels.collectState(out, v1.ImageRepositoryKind, repo.Status.Conditions, repo.Spec.Suspend)
	out <- &sample{intervalDesc, labels[:], repo.GetRequeueAfter().Seconds()}
	if last := repo.Status.LastScanResult; last != nil {
		out <- &sample{tagsDesc, labels[:], float64(last.TagCount)}
		out <- &sample{scannedDesc, labels[:], float64(last.ScanTime.Unix())}
	}
}

func collectPolicy(out chan<- prometheus.Metric, policy *v1.ImagePolicy) {
	labels := labelsOf(policy)
	labels.collectState(out, v1.ImagePolicyKind, policy.Status.Conditions, policy.Spec.Suspend)
	if ref := policy.Status.LatestRef; ref != nil {
		out <- labels.with(policyDesc, 1, label("image", ref.Name), label("tag", ref.Tag), label("digest", ref.Digest))
	}
}

func (l objectLabels) collectState(out chan<- prometheus.Metric, kind string, conditions []metav1.Condition, suspended bool) {
	status := metav1.ConditionUnknown // if there is no condition
	if ready := apimeta.FindStatusCondition(conditions, meta.ReadyCondition); ready != nil {
		status = ready.Status
	}
	for value, label := range statusLabels {
		out <- l.with(readyDesc, number(value == status), kindLabels[kind], readyLabel, label)
	}
	out <- l.with(suspendedDesc, number(suspended), kindLabels[kind])
}

func number(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}
