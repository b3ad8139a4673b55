// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// scrape returns the metrics of a controller as Prometheus sees them. One that is
// ready may not serve them yet.
func (s *scene) scrape(controller *recorded) string {
	s.t.Helper()
	var text []byte
	s.Eventually(func() error {
		response, err := http.Get(controller.MetricsURL())
		if err == nil {
			defer func() { _ = response.Body.Close() }()
			text, err = io.ReadAll(response.Body)
		}
		return err
	}).Should(Succeed())
	return string(text)
}

// metric sums up the samples of one of the controller's metrics whose labels
// contain all that is given, such as `method="PATCH"`.
func (s *scene) metric(name string, labels ...string) float64 {
	s.t.Helper()
	return s.metricOf(s.controller, name, labels...)
}

func (s *scene) metricOf(controller *recorded, name string, labels ...string) float64 {
	s.t.Helper()
	sum := 0.0
	for line := range strings.Lines(s.scrape(controller)) {
		lacks := func(label string) bool { return !strings.Contains(line, label) }
		if !strings.HasPrefix(line, name+"{") || slices.ContainsFunc(labels, lacks) {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
		s.Expect(err).NotTo(HaveOccurred())
		sum += value
	}
	return sum
}

// ownMetric is the name of a metric of this project.
var ownMetric = regexp.MustCompile(`^(gotk_reconcile_|gotk_suspend_|image_)`)

// documented returns the metrics that docs/metrics.md lists.
func documented(g *scene) []string {
	page, err := os.ReadFile("../../../docs/metrics.md")
	g.Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		names = append(names, m[1])
	}
	return names
}

// TestMetrics_AreComplete scrapes the controller after everything that makes a metric: all
// of them are there, and are named and described as Prometheus wants it.
func TestMetrics_AreComplete(t *testing.T) {
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

	text, served := s.scrape(s.controller), map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^# TYPE (\S+) `).FindAllStringSubmatch(text, -1) {
		if ownMetric.MatchString(found[1]) {
			served[found[1]] = true
		}
	}
	s.Expect(slices.Collect(maps.Keys(served))).To(ConsistOf(documented(s)), "docs/metrics.md lists all, and no other")
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	s.Expect(err).NotTo(HaveOccurred())
	for _, problem := range problems {
		NewWithT(t).Expect(ownMetric.MatchString(problem.Metric)).To(BeFalse(), "%s: %s", problem.Metric, problem.Text)
	}
}
