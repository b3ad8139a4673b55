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

	. "github.com/onsi/gomega"
)

// made returns a series of a hundred samples.
func made(value func(i int) float64) series {
	s := series{name: "goroutines", part: 0.1, amount: 20}
	for i := range 100 {
		s.values = append(s.values, value(i))
	}
	return s
}

func TestSeries_DetectsLeaks(t *testing.T) {
	for name, tc := range map[string]struct {
		series series
		leaks  bool
	}{
		"even":                        {made(func(int) float64 { return 150 }), false},
		"as faults come and go":       {made(func(i int) float64 { return 150 + 100*math.Abs(math.Sin(float64(i))) }), false},
		"with a burst at the end":     {made(func(i int) float64 { return map[bool]float64{true: 900, false: 150}[i > 90] }), false},
		"growing a little":            {made(func(i int) float64 { return 150 + 0.2*float64(i) }), false},
		"leaking one with each":       {made(func(i int) float64 { return 150 + float64(i) }), true},
		"leaking while faults happen": {made(func(i int) float64 { return 150 + float64(i) + 100*math.Abs(math.Sin(float64(i))) }), true},
		"leaking at once":             {made(func(i int) float64 { return map[bool]float64{true: 300, false: 150}[i > 50] }), true},
		"hardly measured":             {series{values: []float64{1, 1}}, true},
	} {
		if _, _, _, err := tc.series.judge(); (err != nil) != tc.leaks {
			t.Errorf("%s: leaks: %t, found %v", name, tc.leaks, err)
		}
	}
}

func TestControllerLog_ReportsErrors(t *testing.T) {
	log := strings.Join([]string{
		"2026-01-01T00:00:00Z\tINFO\tstarting\t{}",
		"2026-01-01T00:00:00Z\tERROR\tReconciler error\t{}",
		"2026-01-01T00:00:00Z\tERROR\tthe controller ended\t{}",
		"panic: runtime error",
	}, "\n")
	NewWithT(t).Expect(judgeLog(log)).To(HaveLen(2), "found")
}

func TestShortList_OmitsNewestTagButServesItsManifest(t *testing.T) {
	g := NewWithT(t)
	r := newSyntheticRegistry(1, 1, 0)
	defer r.close()
	r.churn()
	r.tokens.Store("team/app-1", true)
	r.suffer(short)
	get := func(path string) *httptest.ResponseRecorder {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/team/app-1/"+path, nil)
		req.Header.Set("Authorization", "Bearer team/app-1")
		answer := httptest.NewRecorder()
		r.server.Config.Handler.ServeHTTP(answer, req)
		return answer
	}
	var list struct{ Tags []string }
	g.Expect(json.NewDecoder(get("tags/list").Body).Decode(&list)).To(Succeed())
	newest := r.newest("team/app-1")
	if newest != "1.199.0" || len(list.Tags) != churnTags-2*churnLacking || slices.Contains(list.Tags, newest) {
		t.Errorf("lists %d tags, the newest of all is %s", len(list.Tags), newest)
	}
	for tag, want := range map[string]int{newest: http.StatusOK, "1.200.0": http.StatusNotFound} {
		g.Expect(get("manifests/"+tag).Code).To(Equal(want), "%s: status", tag)
	}
}
