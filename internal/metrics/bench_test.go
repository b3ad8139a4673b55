// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/metrics"
)

// cached is a client.Reader of objects in memory. Like that of a cache, its lists share the memory
// of the objects.
type cached struct {
	client.Reader
	repositories []v1.ImageRepository
	policies     []v1.ImagePolicy
}

func (c *cached) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	switch list := list.(type) {
	case *v1.ImageRepositoryList:
		list.Items = slices.Clone(c.repositories)
	case *v1.ImagePolicyList:
		list.Items = slices.Clone(c.policies)
	}
	return nil
}

// pairs returns repositories with a policy each, and the durations of their reconciles.
func pairs(n int) (*cached, *metrics.Durations) {
	objects, durations := &cached{}, metrics.NewDurations()
	for i := range n {
		meta := metav1.ObjectMeta{Namespace: fmt.Sprintf("team-%d", i%100), Name: fmt.Sprintf("application-%d", i)}
		ready := []metav1.Condition{{Type: "Ready", Status: "True"}}
		repo := v1.ImageRepository{ObjectMeta: meta}
		repo.Status.Conditions = ready
		repo.Status.LastScanResult = &v1.ScanResult{TagCount: i, ScanTime: metav1.Unix(1_700_000_000+int64(i), 0)}
		policy := v1.ImagePolicy{ObjectMeta: meta}
		policy.Status.Conditions = ready
		policy.Status.LatestRef = &v1.ImageRef{Name: "ghcr.io/team/" + meta.Name, Tag: fmt.Sprintf("1.2.%d", i), Digest: fmt.Sprintf("sha256:%064x", i)}
		objects.repositories, objects.policies = append(objects.repositories, repo), append(objects.policies, policy)
		for _, kind := range []string{v1.ImageRepositoryKind, v1.ImagePolicyKind} {
			durations.Observe(kind, types.NamespacedName{Namespace: meta.Namespace, Name: meta.Name}, time.Duration(i)*time.Millisecond)
		}
	}
	return objects, durations
}

// cpuTime returns the CPU time that the process has used.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// prometheusAccept is the header that Prometheus 3 sends without native histograms
// (https://github.com/prometheus/prometheus/blob/main/scrape/scrape.go).
const prometheusAccept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6," +
	"application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4," +
	"text/plain;version=0.0.4;q=0.3,*/*;q=0.2"

// discard is a http.ResponseWriter that only counts the bytes.
type discard struct {
	header http.Header
	size   int
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) WriteHeader(int)     {}
func (d *discard) Write(b []byte) (int, error) {
	d.size += len(b)
	return len(b), nil
}

// BenchmarkScrape reads the metrics of 10,000 repositories and 10,000 policies, and compares that
// with a registry that has the same collectors, served by promhttp.
func BenchmarkScrape(b *testing.B) {
	reader, durations := pairs(10_000)
	elected := make(chan struct{})
	close(elected)
	objects := &metrics.Objects{Context: b.Context(), Reader: reader, Elected: elected}
	registry := prometheus.NewRegistry()
	registry.MustRegister(durations, objects)
	handlers := map[string]http.Handler{
		"promhttp": promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
		"exporter": exporterOf(b, prometheus.NewRegistry(), objects, durations),
	}
	for _, encoding := range []string{"identity", "gzip"} {
		cpu := map[string]float64{}
		for _, name := range slices.Backward(slices.Sorted(maps.Keys(handlers))) {
			b.Run(encoding+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				start, size := cpuTime(), 0
				for b.Loop() {
					request := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/metrics", nil)
					request.Header.Set("Accept", prometheusAccept)
					request.Header.Set("Accept-Encoding", encoding)
					response := &discard{header: http.Header{}}
					handlers[name].ServeHTTP(response, request)
					size = response.size
				}
				cpu[name] = float64((cpuTime() - start).Microseconds()) / 1000 / float64(b.N)
				b.ReportMetric(cpu[name], "cpu-ms/op")
				b.ReportMetric(float64(size)/1e6, "MB/response")
			})
		}
		b.Logf("%s: %.0f ms of CPU by promhttp, %.0f ms by the exporter, ratio %.1f",
			encoding, cpu["promhttp"], cpu["exporter"], cpu["promhttp"]/cpu["exporter"])
	}
}

// exporterOf returns the handler of an Exporter as the metrics server uses it.
func exporterOf(t testing.TB, registry prometheus.Gatherer, objects *metrics.Objects, durations *metrics.Durations) http.Handler {
	exporter := metrics.NewExporter(registry)
	exporter.Add(objects, durations)
	filter, err := exporter.Filter(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := filter(logr.Discard(), http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	return handler
}
