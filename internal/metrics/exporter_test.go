// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/metrics"
)

// get returns the header and the uncompressed body of /metrics.
func get(t *testing.T, handler http.Handler, accept, encoding string) (http.Header, string) {
	t.Helper()
	g := NewWithT(t)
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept", accept)
	request.Header.Set("Accept-Encoding", encoding)
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, request)
	g.Expect(response.Code).To(Equal(http.StatusOK))
	var body io.Reader = response.Body
	if response.Header().Get("Content-Encoding") == "gzip" {
		var err error
		body, err = gzip.NewReader(body)
		g.Expect(err).NotTo(HaveOccurred())
	}
	text, err := io.ReadAll(body)
	g.Expect(err).NotTo(HaveOccurred())
	return response.Header(), string(text)
}

// parsed returns the lines of a response in the text format, sorted, with sorted labels. So two
// responses with the same metrics are equal, whatever their format is.
func parsed(t *testing.T, header http.Header, body string) []string {
	t.Helper()
	decoder := expfmt.NewDecoder(strings.NewReader(body), expfmt.ResponseFormat(header))
	var text strings.Builder
	for {
		family := &dto.MetricFamily{}
		err := decoder.Decode(family)
		if errors.Is(err, io.EOF) {
			break
		}
		for _, metric := range family.GetMetric() {
			slices.SortFunc(metric.Label, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
		}
		if err == nil {
			_, err = expfmt.MetricFamilyToText(&text, family)
		}
		if err != nil {
			t.Fatalf("%v in %.1000s", err, body)
		}
	}
	return slices.Sorted(strings.Lines(text.String()))
}

// exported returns 20 objects with unusual values, the durations of their reconciles, and a
// registry with another metric.
func exported(t *testing.T) (*cached, *metrics.Objects, *metrics.Durations, *prometheus.Registry) {
	reader, durations := pairs(10)
	reader.policies[1].Status.LatestRef = nil
	reader.policies[2].Spec.Suspend = true
	reader.policies[3].Status.LatestRef = &v1.ImageRef{Name: "a\"b", Tag: "\n\\n", Digest: "\x00ü{},"}
	reader.policies[4].Status.LatestRef = &v1.ImageRef{Name: "a", Tag: "not UTF-8: \xff"}
	reader.repositories[4].Status.LastScanResult = nil
	reader.repositories[5].Status.Conditions = nil
	app := types.NamespacedName{Namespace: "team-0", Name: "application-0"}
	for _, duration := range []time.Duration{0, 10 * time.Millisecond, 10*time.Millisecond + 1, time.Hour} {
		durations.Observe(v1.ImagePolicyKind, app, duration)
	}
	elected := make(chan struct{})
	close(elected)
	registry := prometheus.NewRegistry()
	total := prometheus.NewCounter(prometheus.CounterOpts{Name: "others_total", Help: "A \\ and\na line."})
	total.Inc()
	registry.MustRegister(total)
	return reader, &metrics.Objects{Context: t.Context(), Reader: reader, Elected: elected}, durations, registry
}

// TestExporter_ServesWhatPromhttpServes compares the responses in each format and encoding, before
// and after an object is deleted.
func TestExporter_ServesWhatPromhttpServes(t *testing.T) {
	g := NewWithT(t)
	reader, objects, durations, registry := exported(t)
	exporter := exporterOf(t, registry, objects, durations)
	all := prometheus.NewPedanticRegistry()
	all.MustRegister(objects, durations)
	promhttp := promhttp.HandlerFor(prometheus.Gatherers{registry, all}, promhttp.HandlerOpts{})
	for _, deleted := range []bool{false, true} {
		if deleted {
			reader.policies = reader.policies[1:]
			durations.Forget(v1.ImagePolicyKind, types.NamespacedName{Namespace: "team-0", Name: "application-0"})
		}
		for _, accept := range []string{
			"", "*/*", "text/plain", "text/plain;version=0.0.4;escaping=underscores", prometheusAccept, string(expfmt.NewFormat(expfmt.TypeProtoDelim)),
		} {
			for _, encoding := range []string{"", "identity", "gzip", "br;q=1, gzip;q=0.5", "br"} {
				header, body := get(t, exporter, accept, encoding)
				wantHeader, wantBody := get(t, promhttp, accept, encoding)
				g.Expect(header.Get("Content-Type")).To(Equal(wantHeader.Get("Content-Type")), "Accept: %s", accept)
				g.Expect(header.Get("Content-Encoding")).To(Equal(wantHeader.Get("Content-Encoding")), "Accept-Encoding: %s", encoding)
				want := parsed(t, wantHeader, wantBody)
				g.Expect(parsed(t, header, body)).To(Equal(want), "Accept: %s", accept)
				g.Expect(strings.Contains(strings.Join(want, ""), `{kind="ImagePolicy",name="application-0"`)).NotTo(Equal(deleted))
			}
		}
		for _, accept := range []expfmt.Format{expfmt.NewFormat(expfmt.TypeProtoText), expfmt.NewFormat(expfmt.TypeProtoCompact)} { // can't be parsed
			header, body := get(t, exporter, string(accept), "")
			wantHeader, wantBody := get(t, promhttp, string(accept), "")
			g.Expect(header.Get("Content-Type")).To(Equal(wantHeader.Get("Content-Type")))
			g.Expect(strings.Count(body, "application-3")).To(Equal(strings.Count(wantBody, "application-3")))
		}
	}
}

func TestExporter_ServesOnlyTheRegistryBeforeElection(t *testing.T) {
	g := NewWithT(t)
	_, objects, durations, registry := exported(t)
	objects.Elected = make(chan struct{})
	for _, accept := range []string{prometheusAccept, string(expfmt.NewFormat(expfmt.TypeProtoDelim))} {
		header, body := get(t, exporterOf(t, registry, objects, metrics.NewDurations()), accept, "")
		g.Expect(parsed(t, header, body)).To(ConsistOf(HavePrefix("# HELP others_total"), HavePrefix("# TYPE others_total"), "others_total 1\n"))
	}
	_, body := get(t, exporterOf(t, registry, objects, durations), "", "")
	g.Expect(body).To(ContainSubstring("gotk_reconcile_duration_seconds_count"), "durations are those of this process")
	g.Expect(body).NotTo(ContainSubstring("gotk_reconcile_condition"))
}

func TestExporter_FailsAsPromhttpDoes(t *testing.T) {
	g := NewWithT(t)
	_, objects, durations, _ := exported(t)
	failing := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return nil, errors.New("broken collector") })
	response := httptest.NewRecorder()
	exporterOf(t, failing, objects, durations).ServeHTTP(response, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	g.Expect(response.Code).To(Equal(http.StatusInternalServerError))
	g.Expect(response.Body.String()).To(Equal("the metrics can't be gathered: broken collector\n"))
}

func TestExporter_LeavesOtherPathsToTheServer(t *testing.T) {
	_, objects, durations, registry := exported(t)
	response := httptest.NewRecorder()
	exporterOf(t, registry, objects, durations).ServeHTTP(response, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/debug/pprof/", nil))
	NewWithT(t).Expect(response.Code).To(Equal(http.StatusNotFound), "the fake handler of other paths answers")
}

func TestExporter_HonoursRefusalOfGzip(t *testing.T) {
	g := NewWithT(t)
	_, objects, durations, registry := exported(t)
	exporter := exporterOf(t, registry, objects, durations)
	for encoding, want := range map[string]string{
		"gzip;q=0": "", "gzip; q=0.000, identity": "", "deflate": "", "x-gzip": "", "gzip;q=1.0": "gzip", "br, gzip; q=0.1": "gzip", "gzip": "gzip",
	} {
		header, _ := get(t, exporter, "", encoding)
		g.Expect(header.Get("Content-Encoding")).To(Equal(want), "Accept-Encoding: %s", encoding)
	}
}

// TestExporter_StopsAfterErrors checks that a response ends at a family that can't be encoded, and
// that nothing is formatted for a client that has disconnected.
func TestExporter_StopsAfterErrors(t *testing.T) {
	g := NewWithT(t)
	_, objects, durations, registry := exported(t)
	empty := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := registry.Gather()
		return append(families, &dto.MetricFamily{}), err
	})
	_, body := get(t, exporterOf(t, empty, objects, durations), "", "")
	g.Expect(body).To(ContainSubstring("others_total 1"))
	g.Expect(body).NotTo(ContainSubstring("gotk_"))

	reader, durations := pairs(2000)
	for i := range reader.policies {
		reader.policies[i].Status.LatestRef.Tag = `\` // escaping it allocates memory
	}
	objects.Reader = reader
	for _, accept := range []string{prometheusAccept, string(expfmt.NewFormat(expfmt.TypeProtoDelim))} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
		request.Header.Set("Accept", accept)
		served := func(w http.ResponseWriter) float64 {
			return testing.AllocsPerRun(1, func() { exporterOf(t, registry, objects, durations).ServeHTTP(w, request) })
		}
		whole := served(&discard{header: http.Header{}})
		g.Expect(served(disconnected{httptest.NewRecorder()})).To(BeNumerically("<", 0.7*whole), "allocations, Accept: %s", accept)
	}
}

// disconnected is the response to a client that has disconnected.
type disconnected struct{ *httptest.ResponseRecorder }

func (disconnected) Write([]byte) (int, error) { return 0, http.ErrHandlerTimeout }

// TestExporter_KeepsReconcilesRunning checks that durations are recorded while a client does not
// read the response.
func TestExporter_KeepsReconcilesRunning(t *testing.T) {
	_, objects, _, registry := exported(t)
	objects.Elected = make(chan struct{}) // so that only durations are written
	_, durations := pairs(1000)
	blocked, release := make(chan struct{}), make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
		exporterOf(t, registry, objects, durations).ServeHTTP(&blockingWriter{httptest.NewRecorder(), blocked, release}, request)
	}()
	<-blocked
	durations.Observe(v1.ImagePolicyKind, types.NamespacedName{Namespace: "team", Name: "new"}, time.Second)
	close(release)
	<-done
}

// blockingWriter blocks the first write until it is released.
type blockingWriter struct {
	*httptest.ResponseRecorder
	blocked, release chan struct{}
}

func (b *blockingWriter) Write(content []byte) (int, error) {
	select {
	case <-b.release:
	default:
		close(b.blocked)
		<-b.release
	}
	return b.ResponseRecorder.Write(content)
}
