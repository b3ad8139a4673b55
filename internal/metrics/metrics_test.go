// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/metrics"
)

func TestObjects_ReportMetricsIfLeader(t *testing.T) {
	g := NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(v1.AddToScheme(scheme)).To(Succeed())
	repo := &v1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "app"}}
	repo.Spec.Interval.Duration = 5 * time.Minute
	repo.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "False"}, {Type: "Stalled", Status: "True"}}
	repo.Status.LastScanResult = &v1.ScanResult{TagCount: 12, ScanTime: metav1.Unix(1700000000, 0)}
	policy := &v1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "app"}}
	policy.Spec.Suspend = true
	policy.Status.LatestRef = &v1.ImageRef{Name: "ghcr.io/team/app", Tag: "1.2.3", Digest: "sha256:abc"}
	elected := make(chan struct{})
	objects := &metrics.Objects{
		Context: context.Background(),
		Reader:  fake.NewClientBuilder().WithScheme(scheme).WithObjects(repo, policy).Build(),
		Elected: elected,
	}
	g.Expect(prometheus.NewRegistry().Register(objects)).To(Succeed())

	g.Expect(testutil.CollectAndCount(objects)).To(BeZero(), "a standby exports nothing")
	close(elected)
	g.Expect(testutil.CollectAndCompare(objects, strings.NewReader(`
# HELP gotk_reconcile_condition Whether the condition Ready of an object has a status: 1 for the status that it has, 0 for the others of True, False and Unknown.
# TYPE gotk_reconcile_condition gauge
gotk_reconcile_condition{kind="ImagePolicy",name="app",namespace="team",status="False",type="Ready"} 0
gotk_reconcile_condition{kind="ImagePolicy",name="app",namespace="team",status="True",type="Ready"} 0
gotk_reconcile_condition{kind="ImagePolicy",name="app",namespace="team",status="Unknown",type="Ready"} 1
gotk_reconcile_condition{kind="ImageRepository",name="app",namespace="team",status="False",type="Ready"} 1
gotk_reconcile_condition{kind="ImageRepository",name="app",namespace="team",status="True",type="Ready"} 0
gotk_reconcile_condition{kind="ImageRepository",name="app",namespace="team",status="Unknown",type="Ready"} 0
# HELP gotk_suspend_status Whether an object is suspended: 1 or 0.
# TYPE gotk_suspend_status gauge
gotk_suspend_status{kind="ImagePolicy",name="app",namespace="team"} 1
gotk_suspend_status{kind="ImageRepository",name="app",namespace="team"} 0
# HELP image_policy_info The image that a policy has selected, by its status.latestRef: always 1.
# TYPE image_policy_info gauge
image_policy_info{digest="sha256:abc",image="ghcr.io/team/app",name="app",namespace="team",tag="1.2.3"} 1
# HELP image_reflector_repository_interval_seconds The time between two scans of a repository, by its spec.interval.
# TYPE image_reflector_repository_interval_seconds gauge
image_reflector_repository_interval_seconds{name="app",namespace="team"} 300
# HELP image_reflector_repository_last_scan_timestamp_seconds The Unix time of the last successful scan of a repository.
# TYPE image_reflector_repository_last_scan_timestamp_seconds gauge
image_reflector_repository_last_scan_timestamp_seconds{name="app",namespace="team"} 1.7e+09
# HELP image_reflector_repository_tags The number of tags found by the last successful scan of a repository.
# TYPE image_reflector_repository_tags gauge
image_reflector_repository_tags{name="app",namespace="team"} 12
`))).To(Succeed())
}

// TestObjects_TolerateInvalidStatus checks that an invalid status does not break the metrics of
// other objects, that concurrent collections work, and that the names follow the Prometheus
// conventions.
func TestObjects_TolerateInvalidStatus(t *testing.T) {
	g := NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(v1.AddToScheme(scheme)).To(Succeed())
	api := fake.NewClientBuilder().WithScheme(scheme)
	same := &v1.ImageRef{Name: "a", Tag: "1"}
	refs := []*v1.ImageRef{nil, {}, {Name: "a\"b", Tag: "\n\\", Digest: "\x00"}, {Name: "ü{}", Tag: ","}, same, same}
	for i, ref := range refs {
		policy := &v1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: fmt.Sprint(i)}}
		policy.Status.LatestRef = ref
		policy.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "Maybe"}, {Type: "Ready", Status: "True"}}
		repo := &v1.ImageRepository{ObjectMeta: policy.ObjectMeta}
		repo.Status.LastScanResult = &v1.ScanResult{TagCount: -i}
		api = api.WithObjects(policy, repo)
	}
	elected := make(chan struct{})
	close(elected)
	objects := &metrics.Objects{Context: t.Context(), Reader: api.Build(), Elected: elected}
	durations := metrics.NewDurations()
	durations.Observe(v1.ImagePolicyKind, types.NamespacedName{Namespace: "team", Name: "0"}, time.Second)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(objects, durations)
	var collectors sync.WaitGroup
	for range 4 {
		collectors.Go(func() {
			g.Expect(testutil.GatherAndCount(registry)).To(Equal(2*6*(3+1) + 5 + 3*6 + 1))
		})
	}
	collectors.Wait()
	g.Expect(testutil.GatherAndLint(registry)).To(BeEmpty())
}

// TestObjects_StopOnCancel checks that a hanging list is canceled and its objects are omitted.
func TestObjects_StopOnCancel(t *testing.T) {
	g := NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(v1.AddToScheme(scheme)).To(Succeed())
	hangingList := interceptor.Funcs{List: func(ctx context.Context, _ client.WithWatch, _ client.ObjectList, _ ...client.ListOption) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	ctx, cancel := context.WithCancel(t.Context())
	elected := make(chan struct{})
	close(elected)
	objects := &metrics.Objects{Context: ctx, Reader: fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(hangingList).Build(), Elected: elected}
	cancel()
	g.Expect(testutil.CollectAndCount(objects)).To(BeZero())
}

func TestDurations_ForgetsDeletedObjects(t *testing.T) {
	g := NewWithT(t)
	durations := metrics.NewDurations()
	app, web := types.NamespacedName{Namespace: "team", Name: "app"}, types.NamespacedName{Namespace: "team", Name: "web"}
	durations.Observe(v1.ImagePolicyKind, app, time.Second)
	durations.Observe(v1.ImagePolicyKind, web, time.Second)
	durations.Observe(v1.ImageRepositoryKind, app, time.Second)

	g.Expect(testutil.CollectAndCount(durations, "gotk_reconcile_duration_seconds")).To(Equal(3))
	durations.Forget(v1.ImagePolicyKind, app)
	durations.Forget(v1.ImagePolicyKind, app)
	g.Expect(testutil.CollectAndCount(durations, "gotk_reconcile_duration_seconds")).To(Equal(2))
}

func TestScans_CountsByHostAndOutcome(t *testing.T) {
	g := NewWithT(t)
	scans := metrics.NewScans(image.Name.Host)
	ghcr, err := image.Parse("ghcr.io/team/app", false)
	g.Expect(err).NotTo(HaveOccurred())
	quay, err := image.Parse("quay.io/team/app", false)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(prometheus.NewPedanticRegistry().Register(scans)).To(Succeed())
	scans.Observe(ghcr, metrics.ScanChanged, time.Second)
	scans.Observe(ghcr, metrics.ScanUnchanged, time.Second)
	scans.Observe(ghcr, metrics.ScanUnchanged, time.Second)
	scans.Observe(quay, v1.RateLimitedReason, 0)
	scans.Observe(quay, "an unknown outcome", time.Second)
	g.Expect(testutil.CollectAndCompare(scans, strings.NewReader(`
# HELP image_reflector_scans_total The scans of image repositories by registry host: unchanged, changed, or the reason for which they failed.
# TYPE image_reflector_scans_total counter
image_reflector_scans_total{host="ghcr.io",outcome="AuthenticationFailed"} 0
image_reflector_scans_total{host="ghcr.io",outcome="Failure"} 0
image_reflector_scans_total{host="ghcr.io",outcome="FeatureGateDisabled"} 0
image_reflector_scans_total{host="ghcr.io",outcome="RateLimited"} 0
image_reflector_scans_total{host="ghcr.io",outcome="ReadOperationFailed"} 0
image_reflector_scans_total{host="ghcr.io",outcome="changed"} 1
image_reflector_scans_total{host="ghcr.io",outcome="unchanged"} 2
image_reflector_scans_total{host="quay.io",outcome="AuthenticationFailed"} 0
image_reflector_scans_total{host="quay.io",outcome="Failure"} 1
image_reflector_scans_total{host="quay.io",outcome="FeatureGateDisabled"} 0
image_reflector_scans_total{host="quay.io",outcome="RateLimited"} 1
image_reflector_scans_total{host="quay.io",outcome="ReadOperationFailed"} 0
image_reflector_scans_total{host="quay.io",outcome="changed"} 0
image_reflector_scans_total{host="quay.io",outcome="unchanged"} 0
`), "image_reflector_scans_total")).To(Succeed())
	g.Expect(testutil.CollectAndCount(scans, "image_reflector_scan_duration_seconds")).To(Equal(2))
	g.Expect(testing.AllocsPerRun(100, func() { scans.Observe(ghcr, metrics.ScanUnchanged, time.Second) })).To(BeZero())
}
