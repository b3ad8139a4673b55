// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// ownMetric is the name of a metric of this project.
var ownMetric = regexp.MustCompile(`^(gotk_reconcile_|gotk_suspend_|image_)`)

// ownMetrics are all of them. internal/doctest holds the documentation to the
// same names, by looking at the code.
var ownMetrics = []string{
	"gotk_reconcile_condition", "gotk_reconcile_duration_seconds", "gotk_suspend_status",
	"image_policy_info",
	"image_reflector_registry_in_flight", "image_reflector_registry_request_duration_seconds", "image_reflector_registry_requests_total",
	"image_reflector_registry_throttled_until_timestamp_seconds", "image_reflector_registry_wait_seconds",
	"image_reflector_repository_interval_seconds", "image_reflector_repository_last_scan_timestamp_seconds", "image_reflector_repository_tags",
	"image_reflector_scan_duration_seconds", "image_reflector_scans_total",
	"image_reflector_store_facts", "image_reflector_store_records", "image_reflector_store_reports_total", "image_reflector_store_size_bytes",
}

// scrape returns the metrics as Prometheus sees them.
func (s *scene) scrape() string {
	s.t.Helper()
	response, err := http.Get(s.controller.MetricsURL())
	s.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	s.Expect(response.StatusCode).To(Equal(http.StatusOK))
	text, err := io.ReadAll(response.Body)
	s.Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// families parses what was scraped, and leaves out the metrics of others.
func (s *scene) families(text string) map[string]*dto.MetricFamily {
	s.t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	found, err := parser.TextToMetricFamilies(strings.NewReader(text))
	s.Expect(err).NotTo(HaveOccurred())
	for name := range found {
		if !ownMetric.MatchString(name) {
			delete(found, name)
		}
	}
	return found
}

// TestMetrics scrapes the controller after everything that makes a metric: all
// of them are there, and are named and described as Prometheus wants it.
func TestMetrics(t *testing.T) {
	throttled := registrytest.Start(t)
	throttled.Inject(registrytest.Tags, registrytest.RetryAfter(http.StatusTooManyRequests, "3600"))
	s := newScene(t)
	s.pushTags("app", "1.0.0")
	repo := ready(s, s.repository("app"))
	ready(s, s.policy("app"))
	request(s, repo)
	s.pushTags("app", "1.1.0")
	request(s, repo)
	notReady(s, s.repository("later", func(r *v1.ImageRepository) { r.Spec.Image = throttled.Image("org/app") }), v1.RateLimitedReason, "")

	host := `host="` + s.proxy.host + `"`
	s.Expect(s.metric("image_reflector_scans_total", host, `outcome="changed"`)).To(Equal(2.0))
	s.Expect(s.metric("image_reflector_scans_total", host, `outcome="unchanged"`)).To(Equal(1.0))
	s.Expect(s.metric("image_reflector_scans_total", `host="`+throttled.Host()+`"`, `outcome="RateLimited"`)).To(BeNumerically(">=", 1))
	s.Expect(s.metric("image_reflector_scan_duration_seconds_count", host)).To(Equal(3.0))

	text := s.scrape()
	families := s.families(text)
	s.Expect(families).To(HaveLen(len(ownMetrics)))
	for _, name := range ownMetrics {
		s.Expect(families).To(HaveKey(name))
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	s.Expect(err).NotTo(HaveOccurred())
	for _, problem := range problems {
		if ownMetric.MatchString(problem.Metric) {
			t.Errorf("%s: %s", problem.Metric, problem.Text)
		}
	}
}
