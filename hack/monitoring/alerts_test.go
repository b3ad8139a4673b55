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

// alertTest is a test of alerts in the format of promtool.
type alertTest struct {
	Name   string         `yaml:"name"`
	Step   model.Duration `yaml:"interval"`
	Series []struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	} `yaml:"input_series"`
	Checks []check `yaml:"alert_rule_test"`
}

// check lists the alerts of a rule that fire at a time.
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

// TestAlerts_FireAndStaySilent evaluates the alerts over series of samples. Each alert must fire in
// one check and be silent in another.
func TestAlerts_FireAndStaySilent(t *testing.T) {
	var file struct {
		Tests []alertTest `yaml:"tests"`
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
				got, want := texts(firingAt(t, samples, rule, test.Step, c.Time)), texts(c.Want)
				if !slices.Equal(got, want) {
					t.Errorf("%s at %s\ngot  %q\nwant %q", c.Alert, c.Time, got, want)
				}
				fired[c.Alert] = fired[c.Alert] || len(got) > 0
				silent[c.Alert] = silent[c.Alert] || len(got) == 0
			}
		})
	}
	for name := range rules {
		if !fired[name] || !silent[name] {
			t.Errorf("the tests of %s must have a check in which it fires, and one in which it is silent", name)
		}
	}
}

func texts(alerts []firing) []string {
	var all []string
	for _, alert := range alerts {
		all = append(all, alert.String())
	}
	slices.Sort(all)
	return all
}

// load returns the samples of the test, starting at time 0.
func (a alertTest) load(t *testing.T) storage.Queryable {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "load %s\n", a.Step)
	for _, series := range a.Series {
		fmt.Fprintf(&b, "  %s %s\n", series.Series, series.Values)
	}
	loaded := promqltest.LoadedStorage(t, b.String())
	t.Cleanup(func() { _ = loaded.Close() })
	return loaded
}

// firingAt evaluates a rule at each step until a time, and returns the alerts that fire at that
// time: those whose expression was true at every step during rule.For.
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
		results = slices.Clone(results) // Close reuses the original
		query.Close()
		active := map[string]time.Time{}
		for _, result := range results {
			key := result.Metric.String()
			active[key] = now
			if start, found := since[key]; found {
				active[key] = start
			}
		}
		since = active
	}
	var found []firing
	for _, result := range results {
		if now.Sub(since[result.Metric.String()]) >= time.Duration(rule.For) {
			found = append(found, fire(t, rule, result, now))
		}
	}
	return found
}

// fire returns the alert of a result, with expanded annotations.
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
	return nil, fmt.Errorf("annotations must not query")
}
