// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("the open files are unknown on this platform")
	}
	return len(entries)
}

// via returns the anonymous identity with a transport configuration.
func via(key string, config *tls.Config, proxy *url.URL) AuthOptions {
	return AuthOptions{Transport: transport.Config{Key: key, TLS: config, Proxy: proxy}}
}

func TestTransport_IsSeparatePerConfiguration(t *testing.T) {
	g := NewWithT(t)
	reg, img := start(t, registrytest.WithTLS())
	c := newTestClient(t)
	_, err := c.ListTags(t.Context(), img, AuthOptions{})
	checkError(t, err, v1.ReadOperationFailedReason, "unknown authority")
	trusting := via("trusting", &tls.Config{RootCAs: reg.CertPool(), MinVersion: tls.VersionTLS12}, nil)
	for range 2 {
		g.Expect(c.ListTags(t.Context(), img, trusting)).Error().NotTo(HaveOccurred())
	}
	_, err = c.ListTags(t.Context(), img, via("other", &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}, nil))
	checkError(t, err, v1.ReadOperationFailedReason, "unknown authority")
	if want := (counts{registrytest.Ping: 1, registrytest.Tags: 2}); reg.Counts()[registrytest.Ping] != want[registrytest.Ping] || reg.Count(registrytest.Tags) != 2 {
		t.Errorf("got %v, want %v", reg.Counts(), want)
	}

	var proxied []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		proxied = append(proxied, req.URL.String())
		w.WriteHeader(http.StatusTeapot)
	}))
	defer proxy.Close()
	address, _ := url.Parse(proxy.URL)
	_, _ = c.ListTags(t.Context(), parse(t, "10.1.2.3:5000/app"), via("proxy", nil, address))
	g.Expect(proxied).To(ContainElement("http://10.1.2.3:5000/v2/"), "requests to the proxy")
}

// TestTransport_FinishesRequestsIfDropped tests that requests in flight succeed when their
// transport is dropped from the pool, and that no connection remains open.
func TestTransport_FinishesRequestsIfDropped(t *testing.T) {
	g := NewWithT(t)
	checkGoroutines(t)
	reg, img := start(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	c := newTestClient(t)
	defer c.Close()
	g.Expect(c.ListTags(t.Context(), img, via("slow", nil, nil))).Error().NotTo(HaveOccurred())
	reg.Inject(registrytest.Tags, registrytest.Times(1, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		close(arrived)
		<-release
		next.ServeHTTP(w, req)
	}))
	done := make(chan error)
	go func() {
		_, err := c.ListTags(context.Background(), img, via("slow", nil, nil))
		done <- err
	}()
	<-arrived
	for i := range 128 {
		g.Expect(c.ListTags(t.Context(), img, via(fmt.Sprint(i), nil, nil))).Error().NotTo(HaveOccurred())
	}
	close(release)
	g.Expect(<-done).To(Succeed())
}

func TestRepository_AcquiresLimiterOnce(t *testing.T) {
	g := NewWithT(t)
	_, img := start(t)
	c := newTestClient(t, WithRateLimits(ratelimit.Config{InFlight: 1}))
	admitted, read := 0, 0
	repo := c.Open(Access{Image: img, Granted: func() { admitted++ }, Auth: func(context.Context) (AuthOptions, error) {
		if read++; read == 1 {
			return AuthOptions{}, &Error{reason: v1.ImageURLInvalidReason, detail: "the Secret can't be read now"}
		}
		return AuthOptions{}, nil
	}})
	_, err := repo.List(t.Context(), "")
	checkError(t, err, v1.ImageURLInvalidReason)
	for range 2 { // one ticket is for several operations
		g.Expect(repo.List(t.Context(), "")).Error().NotTo(HaveOccurred())
		g.Expect(repo.Digest(t.Context(), "1.0.0")).Error().NotTo(HaveOccurred())
	}
	g.Expect(admitted).To(Equal(1), "tickets")
	g.Expect(read).To(Equal(2), "reads of credentials")
	_, err = c.ListTags(t.Context(), img, AuthOptions{})
	if busy, ok := errors.AsType[*ratelimit.BusyError](err); !ok || busy.Host != img.Host() {
		t.Errorf("got %v, want a BusyError", err)
	}
	repo.Close()
	g.Expect(c.ListTags(t.Context(), img, AuthOptions{})).Error().NotTo(HaveOccurred())
}

func TestMetrics_CountRequestsByOutcome(t *testing.T) {
	g := NewWithT(t)
	reg, img := start(t, registrytest.WithTokenAuth("user", canary))
	registerer := prometheus.NewRegistry()
	clock := registrytest.NewClock()
	c := newTestClient(t, withClock(clock), WithMetrics(registerer))
	g.Expect(c.Exists(t.Context(), img, "9.9.9", login(img))).Error().NotTo(HaveOccurred())
	reg.Inject(registrytest.Any, registrytest.Status(799, ""))
	_, _ = c.ListTags(t.Context(), img, login(img))
	reg.Inject(registrytest.Any, registrytest.RetryAfter(429, "60"))
	_, _ = c.ListTags(t.Context(), img, login(img))

	host := "{host=" + img.Host()
	for name, want := range map[string]float64{
		"image_reflector_registry_requests_total" + host + ",outcome=200}":        1,
		"image_reflector_registry_requests_total" + host + ",outcome=401}":        1,
		"image_reflector_registry_requests_total" + host + ",outcome=404}":        2,
		"image_reflector_registry_requests_total" + host + ",outcome=429}":        1,
		"image_reflector_registry_requests_total" + host + ",outcome=unknown}":    1,
		"image_reflector_registry_requests_total" + host + ",outcome=error}":      1, // TLS is tried first
		"image_reflector_registry_request_duration_seconds" + host + "}":          7,
		"image_reflector_registry_wait_seconds" + host + "}":                      3,
		"image_reflector_registry_in_flight" + host + "}":                         0,
		"image_reflector_registry_throttled_until_timestamp_seconds" + host + "}": float64(clock.Now().Add(time.Minute).Unix()),
	} {
		g.Expect(gather(t, registerer)[name]).To(Equal(want), name)
	}

	for i := range 2 * maxHostLabels {
		c.metrics.observer().Waited(fmt.Sprintf("host-%d", i), 0)
	}
	hosts := 0
	for name := range gather(t, registerer) {
		if strings.HasPrefix(name, "image_reflector_registry_wait_seconds") {
			hosts++
		}
	}
	g.Expect(hosts).To(Equal(maxHostLabels+1), "got %d hosts, want %d and all others as one", hosts, maxHostLabels)
}

// gather returns the values of counters and gauges, and the counts of histograms.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			if family.GetType() == dto.MetricType_HISTOGRAM {
				value = float64(m.GetHistogram().GetSampleCount())
			}
			values[family.GetName()+"{"+strings.Join(labels, ",")+"}"] = value
		}
	}
	return values
}
