// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/template"
	"go.yaml.in/yaml/v3"
)

// story is a test of alerts, written as promtool's are.
type story struct {
	Name   string         `yaml:"name"`
	Step   model.Duration `yaml:"interval"`
	Series []struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	} `yaml:"input_series"`
	Checks []check `yaml:"alert_rule_test"`
}

// check says which alerts of a rule fire at a time.
type check struct {
	Time  model.Duration `yaml:"eval_time"`
	Alert string         `yaml:"alertname"`
	Want  []firing       `yaml:"exp_alerts"`
}

type firing struct {
	Labels      map[string]string `yaml:"exp_labels"`
	Annotations map[string]string `yaml:"exp_annotations"`
}

// String returns the labels and the summary.
func (f firing) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(f.Labels)) {
		fmt.Fprintf(&b, "%s=%q ", name, f.Labels[name])
	}
	return b.String() + f.Annotations["summary"]
}

// TestAlerts_FireAndStaySilent evaluates the alerts over series of samples. Every alert must fire in
// one of the tests, and be silent in one.
func TestAlerts_FireAndStaySilent(t *testing.T) {
	var file struct {
		Tests []story `yaml:"tests"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(read(t, "testdata/alerts.yaml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	rules, fired, silent := map[string]rulefmt.Rule{}, map[string]bool{}, map[string]bool{}
	for _, rule := range alerts(t) {
		rules[rule.Alert] = rule
	}
	for _, test := range file.Tests {
		t.Run(test.Name, func(t *testing.T) {
			samples := test.load(t)
			for _, c := range test.Checks {
				rule, known := rules[c.Alert]
				if !known {
					t.Fatalf("there is no alert %s", c.Alert)
				}
				got, want := told(firingAt(t, samples, rule, test.Step, c.Time)), told(c.Want)
				if !slices.Equal(got, want) {
					t.Errorf("%s fires at %s\nfor  %q\nwant %q", c.Alert, c.Time, got, want)
				}
				fired[c.Alert] = fired[c.Alert] || len(got) > 0
				silent[c.Alert] = silent[c.Alert] || len(got) == 0
			}
		})
	}
	for name := range rules {
		if !fired[name] || !silent[name] {
			t.Errorf("%s is not tested both to fire and to be silent", name)
		}
	}
}

func told(alerts []firing) []string {
	var texts []string
	for _, alert := range alerts {
		texts = append(texts, alert.String())
	}
	slices.Sort(texts)
	return texts
}

// load returns the samples of the test, which begin at the time 0.
func (s story) load(t *testing.T) storage.Queryable {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "load %s\n", s.Step)
	for _, series := range s.Series {
		fmt.Fprintf(&b, "  %s %s\n", series.Series, series.Values)
	}
	loaded := promqltest.LoadedStorage(t, b.String())
	t.Cleanup(func() { _ = loaded.Close() })
	return loaded
}

// firingAt evaluates a rule at each step until a time, and returns the alerts
// that fire then: those whose expression held at every step for as long as the
// rule says.
func firingAt(t *testing.T, samples storage.Queryable, rule rulefmt.Rule, step, until model.Duration) []firing {
	t.Helper()
	engine := promqltest.NewTestEngine(t, false, 0, 10_000)
	since := map[string]time.Time{}
	var now time.Time
	var results promql.Vector
	for at := time.Duration(0); at <= time.Duration(until); at += time.Duration(step) {
		now = time.Unix(0, 0).Add(at)
		query, err := engine.NewInstantQuery(t.Context(), samples, nil, rule.Expr, now)
		if err != nil {
			t.Fatal(err)
		}
		if results, err = query.Exec(t.Context()).Vector(); err != nil {
			t.Fatalf("%s: %v", rule.Alert, err)
		}
		results = slices.Clone(results) // what follows Close is not the query's
		query.Close()
		held := map[string]time.Time{}
		for _, result := range results {
			key := result.Metric.String()
			held[key] = now
			if begun, found := since[key]; found {
				held[key] = begun
			}
		}
		since = held
	}
	var found []firing
	for _, result := range results {
		if now.Sub(since[result.Metric.String()]) >= time.Duration(rule.For) {
			found = append(found, fire(t, rule, result, now))
		}
	}
	return found
}

// fire returns the alert that a result becomes.
func fire(t *testing.T, rule rulefmt.Rule, result promql.Sample, now time.Time) firing {
	t.Helper()
	labels := result.Metric.Map()
	delete(labels, model.MetricNameLabel)
	alert := firing{Labels: maps.Clone(labels), Annotations: map[string]string{}}
	maps.Copy(alert.Labels, rule.Labels)
	data := template.AlertTemplateData(labels, nil, "", result)
	for name, text := range rule.Annotations {
		expander := template.NewTemplateExpander(t.Context(), "{{$labels := .Labels}}{{$value := .Value}}"+text, name, data,
			model.TimeFromUnixNano(now.UnixNano()), noQueries, nil, nil)
		expanded, err := expander.Expand()
		if err != nil {
			t.Errorf("%s, annotation %s: %v", rule.Alert, name, err)
		}
		alert.Annotations[name] = expanded
	}
	return alert
}

func noQueries(context.Context, string, time.Time) (promql.Vector, error) {
	return nil, fmt.Errorf("annotations ask nothing more")
}
