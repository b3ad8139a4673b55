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

// Objects tells the state of the objects, as their status has it. It reads the
// objects when it is asked, and keeps nothing: 10,000 objects cost no memory
// between two collections, and one that is deleted leaves nothing behind.
type Objects struct {
	// Context ends with the process.
	Context context.Context
	// Reader reads objects from the cache.
	Reader client.Reader
	// Elected is closed once this process is the one that reconciles. Until
	// then nothing is told, so that a standby does not tell it again.
	Elected <-chan struct{}
}

// Describe implements prometheus.Collector.
func (o *Objects) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{readyDesc, suspendedDesc, policyDesc, tagsDesc, scannedDesc, intervalDesc} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector. Objects that can't be read are left
// out: other metrics tell of the API server.
func (o *Objects) Collect(into chan<- prometheus.Metric) {
	select {
	case <-o.Elected:
	default:
		return
	}
	ctx, cancel := context.WithTimeout(o.Context, listTimeout)
	defer cancel()
	// nothing below changes an object, so that none needs to be copied
	var repositories v1.ImageRepositoryList
	if o.Reader.List(ctx, &repositories, client.UnsafeDisableDeepCopy) == nil {
		for i := range repositories.Items {
			collectRepository(into, &repositories.Items[i])
		}
	}
	var policies v1.ImagePolicyList
	if o.Reader.List(ctx, &policies, client.UnsafeDisableDeepCopy) == nil {
		for i := range policies.Items {
			collectPolicy(into, &policies.Items[i])
		}
	}
}

func collectRepository(into chan<- prometheus.Metric, repo *v1.ImageRepository) {
	labels := labelsOf(repo)
	labels.collectState(into, v1.ImageRepositoryKind, repo.Status.Conditions, repo.Spec.Suspend)
	into <- &sample{intervalDesc, labels[:], repo.GetRequeueAfter().Seconds()}
	if last := repo.Status.LastScanResult; last != nil {
		into <- &sample{tagsDesc, labels[:], float64(last.TagCount)}
		into <- &sample{scannedDesc, labels[:], float64(last.ScanTime.Unix())}
	}
}

func collectPolicy(into chan<- prometheus.Metric, policy *v1.ImagePolicy) {
	labels := labelsOf(policy)
	labels.collectState(into, v1.ImagePolicyKind, policy.Status.Conditions, policy.Spec.Suspend)
	if ref := policy.Status.LatestRef; ref != nil {
		into <- labels.with(policyDesc, 1, label("image", ref.Name), label("tag", ref.Tag), label("digest", ref.Digest))
	}
}

func (l objectLabels) collectState(into chan<- prometheus.Metric, kind string, conditions []metav1.Condition, suspended bool) {
	status := metav1.ConditionUnknown // also where there is none yet
	if ready := apimeta.FindStatusCondition(conditions, meta.ReadyCondition); ready != nil {
		status = ready.Status
	}
	for one, label := range statusLabels {
		into <- l.with(readyDesc, number(one == status), kindLabels[kind], readyLabel, label)
	}
	into <- l.with(suspendedDesc, number(suspended), kindLabels[kind])
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
