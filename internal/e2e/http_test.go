// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
)

// serve serves on the loopback interface until the test ends, and returns the
// host and port.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// metric sums up the samples of one of the controller's metrics whose labels
// contain all that is given, such as `method="PATCH"`.
func (s *scene) metric(name string, labels ...string) float64 {
	s.t.Helper()
	return s.metricOf(s.controller, name, labels...)
}

func (s *scene) metricOf(controller *stage.Controller, name string, labels ...string) float64 {
	s.t.Helper()
	var sum float64
	s.Eventually(func(g Gomega) { // a controller that is ready may not serve its metrics yet
		response, err := http.Get(controller.MetricsURL())
		g.Expect(err).NotTo(HaveOccurred())
		defer func() { _ = response.Body.Close() }()
		sum = sumMetric(g, response, name, labels)
	}).Should(Succeed())
	return sum
}

func sumMetric(g Gomega, response *http.Response, name string, labels []string) float64 {
	sum := 0.0
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if !strings.HasPrefix(line, name+"{") || !containsAll(line, labels) {
			continue
		}
		value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		g.Expect(err).NotTo(HaveOccurred())
		sum += value
	}
	g.Expect(lines.Err()).NotTo(HaveOccurred())
	return sum
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
