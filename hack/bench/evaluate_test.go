// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// seriesOf returns a series of a hundred samples in 50 minutes.
func seriesOf(value func(i int) float64) series {
	s := series{name: "goroutines", fraction: 0.1, amount: 20, drift: 12}
	for i := range 100 {
		s.add(time.Duration(i)*30*time.Second, value(i))
	}
	return s
}

func TestSeries_DetectsLeaks(t *testing.T) {
	for name, tc := range map[string]struct {
		series series
		leaks  bool
	}{
		"constant":                {seriesOf(func(int) float64 { return 150 }), false},
		"intermittent faults":     {seriesOf(func(i int) float64 { return 150 + 100*math.Abs(math.Sin(float64(i))) }), false},
		"burst at the end":        {seriesOf(func(i int) float64 { return map[bool]float64{true: 900, false: 150}[i > 90] }), false},
		"growth within the bound": {seriesOf(func(i int) float64 { return 150 + 0.2*float64(i) }), false},
		"growth that ends":        {seriesOf(func(i int) float64 { return 150 + 0.5*min(float64(i), 40) }), false},
		"steady leak":             {seriesOf(func(i int) float64 { return 150 + float64(i) }), true},
		"slow leak":               {seriesOf(func(i int) float64 { return 150 + 0.3*float64(i) }), true},
		"leak under faults":       {seriesOf(func(i int) float64 { return 150 + float64(i) + 100*math.Abs(math.Sin(float64(i))) }), true},
		"sudden leak":             {seriesOf(func(i int) float64 { return map[bool]float64{true: 300, false: 150}[i > 50] }), true},
		"too few samples":         {series{values: []float64{1, 1}, times: []time.Duration{1, 2}}, true},
	} {
		if _, err := tc.series.evaluate(25 * time.Minute); (err != nil) != tc.leaks {
			t.Errorf("%s: evaluate returned %v, want an error: %t", name, err, tc.leaks)
		}
	}
}

func TestSeries_IgnoresSlopeOfNewProcess(t *testing.T) {
	g, s := NewWithT(t), seriesOf(func(i int) float64 { return 150 + 0.3*float64(i) })
	_, err := s.evaluate(settleTime)
	g.Expect(err).To(MatchError(ContainSubstring("grows by 36.0")))
	_, err = s.evaluate(settleTime - time.Minute)
	g.Expect(err).NotTo(HaveOccurred())
}

func TestControllerLog_ReportsErrors(t *testing.T) {
	log := strings.Join([]string{
		"2026-01-01T00:00:00Z\tINFO\tstarting\t{}",
		"2026-01-01T00:00:00Z\tERROR\tReconciler error\t{}",
		"2026-01-01T00:00:00Z\tERROR\terror received after stop sequence was engaged\t{}",
		"2026-01-01T00:00:00Z\tERROR\tthe controller ended\t{}",
		"panic: runtime error",
	}, "\n")
	NewWithT(t).Expect(unexpectedErrors(log)).To(HaveLen(2))
}

func TestShortList_OmitsNewestTagButServesItsManifest(t *testing.T) {
	g := NewWithT(t)
	r := newSyntheticRegistry(1, 1, 0)
	defer r.close()
	r.churn()
	r.tokens.Store("team/app-1", true)
	r.setFault(shortList)
	get := func(path string) *httptest.ResponseRecorder {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/team/app-1/"+path, nil)
		req.Header.Set("Authorization", "Bearer team/app-1")
		response := httptest.NewRecorder()
		r.server.Config.Handler.ServeHTTP(response, req)
		return response
	}
	var list struct{ Tags []string }
	g.Expect(json.NewDecoder(get("tags/list").Body).Decode(&list)).To(Succeed())
	if tag := "1.199.0"; len(list.Tags) != churnTags-churnOmitted || slices.Contains(list.Tags, tag) {
		t.Errorf("lists %d tags, the newest is %s", len(list.Tags), list.Tags[len(list.Tags)-1])
	}
	for tag, want := range map[string]int{"1.199.0": http.StatusOK, "1.200.0": http.StatusNotFound} {
		g.Expect(get("manifests/"+tag).Code).To(Equal(want), "%s: status", tag)
	}
}
