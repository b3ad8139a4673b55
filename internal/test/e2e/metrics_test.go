// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
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

// scrape returns the metrics of a controller. It retries, since a controller may be ready before it
// serves them.
func (f *fixture) scrape(controller *recordedController) string {
	f.t.Helper()
	var text []byte
	f.Eventually(func() error {
		response, err := http.Get(controller.MetricsURL())
		if err == nil {
			defer func() { _ = response.Body.Close() }()
			text, err = io.ReadAll(response.Body)
		}
		return err
	}).Should(Succeed())
	return string(text)
}

// metric returns the sum of the samples of a metric of the controller with all labels, such as
// `method="PATCH"`.
func (f *fixture) metric(name string, labels ...string) float64 {
	f.t.Helper()
	return f.metricOf(f.controller, name, labels...)
}

// metricOf is like metric for another controller.
func (f *fixture) metricOf(controller *recordedController, name string, labels ...string) float64 {
	f.t.Helper()
	sum := 0.0
	for line := range strings.Lines(f.scrape(controller)) {
		lacks := func(label string) bool { return !strings.Contains(line, label) }
		if !strings.HasPrefix(line, name+"{") || slices.ContainsFunc(labels, lacks) {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
		f.Expect(err).NotTo(HaveOccurred())
		sum += value
	}
	return sum
}

// ownMetric matches the metrics of this project.
var ownMetric = regexp.MustCompile(`^(gotk_reconcile_|gotk_suspend_|image_)`)

// documented returns the metrics that docs/metrics.md lists.
func documented(f *fixture) []string {
	page, err := os.ReadFile("../../../docs/metrics.md")
	f.Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		names = append(names, m[1])
	}
	return names
}

// TestMetrics_AreComplete checks that after operations of every kind, the controller serves exactly
// the documented metrics, which pass the Prometheus linter.
func TestMetrics_AreComplete(t *testing.T) {
	throttled := registrytest.Start(t)
	throttled.Inject(registrytest.Tags, registrytest.RetryAfter(http.StatusTooManyRequests, "3600"))
	mirrors := filepath.Join(t.TempDir(), "mirrors.toml")
	mirrorThatIsDown := fmt.Sprintf("[%q.host.\"http://127.0.0.1:1\"]\n", throttled.Host())
	NewWithT(t).Expect(os.WriteFile(mirrors, []byte(mirrorThatIsDown), 0o600)).To(Succeed())
	f := newFixture(t, "--registry-mirrors="+mirrors)
	f.pushTags("app", "1.0.0")
	repo := awaitReady(f, f.repository("app"))
	awaitReady(f, f.policy("app"))
	requestReconcile(f, repo)
	f.pushTags("app", "1.1.0")
	requestReconcile(f, repo)
	awaitNotReady(f, f.repository("later", func(r *v1.ImageRepository) { r.Spec.Image = throttled.Image("org/app") }), v1.RateLimitedReason, "")

	host := `host="` + f.proxy.host + `"`
	f.Expect(f.metric("image_reflector_scans_total", host, `outcome="changed"`)).To(Equal(2.0))
	f.Expect(f.metric("image_reflector_scans_total", host, `outcome="unchanged"`)).To(Equal(1.0))
	f.Expect(f.metric("image_reflector_scans_total", `host="`+throttled.Host()+`"`, `outcome="RateLimited"`)).To(BeNumerically(">=", 1))
	f.Expect(f.metric("image_reflector_scan_duration_seconds_count", host)).To(Equal(3.0))

	text, served := f.scrape(f.controller), map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^# TYPE (\S+) `).FindAllStringSubmatch(text, -1) {
		if ownMetric.MatchString(found[1]) {
			served[found[1]] = true
		}
	}
	f.Expect(slices.Collect(maps.Keys(served))).To(ConsistOf(documented(f)), "docs/metrics.md lists exactly these metrics")
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	f.Expect(err).NotTo(HaveOccurred())
	for _, problem := range problems {
		NewWithT(t).Expect(ownMetric.MatchString(problem.Metric)).To(BeFalse(), "%s: %s", problem.Metric, problem.Text)
	}
}
