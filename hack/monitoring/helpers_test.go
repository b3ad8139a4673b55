// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// folder contains the tested files.
const folder = "../../config/monitoring/"

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func newParser() parser.Parser { return parser.NewParser(parser.Options{}) }

// alerts parses and validates the alerts as Prometheus does: the spec of a PrometheusRule has the
// format of a rule file.
func alerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	var object struct {
		Spec any `yaml:"spec"`
	}
	if err := yaml.Unmarshal(read(t, folder+"alerts.yaml"), &object); err != nil {
		t.Fatal(err)
	}
	spec, err := yaml.Marshal(object.Spec)
	if err != nil {
		t.Fatal(err)
	}
	groups, problems := rulefmt.Parse(spec, false, model.LegacyValidation, newParser(), slog.New(slog.DiscardHandler))
	for _, problem := range problems {
		t.Error(problem)
	}
	if t.Failed() {
		t.FailNow()
	}
	var rules []rulefmt.Rule
	for _, group := range groups.Groups {
		rules = append(rules, group.Rules...)
	}
	if len(rules) == 0 {
		t.Fatal("there are no alerts")
	}
	return rules
}

// dashboard contains the tested fields of a Grafana dashboard.
type dashboard struct {
	UID        string  `json:"uid"`
	Panels     []panel `json:"panels"`
	Templating struct {
		List []struct {
			Name       string `json:"name"`
			Definition string `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
}

type panel struct {
	ID      int    `json:"id"`
	Type    string `json:"type"`
	Title   string `json:"title"`
	GridPos struct{ H, W, X, Y int }
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.NewDecoder(bytes.NewReader(read(t, folder+"dashboard.json"))).Decode(&d); err != nil {
		t.Fatal(err)
	}
	return d
}

// expand replaces the variables in a query of the dashboard, as Grafana does if all values are
// selected.
func (d dashboard) expand(query string) string {
	query = strings.ReplaceAll(query, "$__rate_interval", "2m")
	for _, variable := range d.Templating.List {
		query = strings.ReplaceAll(query, "$"+variable.Name, ".*")
	}
	return query
}
