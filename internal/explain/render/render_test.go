// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/explain/render"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/terminal"
)

var update = flag.Bool("update", false, "write the golden files")

// result returns a result with most fields set.
func result() *explain.Result {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	return &explain.Result{
		APIVersion: explain.APIVersion,
		Kind:       explain.Kind,
		Policy: explain.Policy{
			Namespace: "apps", Name: "app", Suspended: true, DigestReflectionPolicy: v1.ReflectAlways,
			Ready:     &explain.Ready{Status: "True", Reason: "Succeeded", Message: "fine"},
			LatestRef: image.NewRef("app", "build-9", digest), Agrees: new(false),
		},
		Repository: explain.Repository{
			Namespace: "shared", Name: "app", Image: "app", CanonicalName: "index.docker.io/library/app",
			Ready: &explain.Ready{Status: "True", Reason: "Succeeded", Message: "fine"},
			LastScan: &explain.LastScan{
				Time: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), Age: "3m", Revision: digest, TagCount: 1, NextIn: "2m",
			},
		},
		Rule:      `greatest number, of the tags that match "^build-(.*)", compared by "$1"`,
		Tags:      explain.Tags{Source: explain.FromRegistry, Complete: true, Listed: 7, Invalid: 1, Excluded: 1, Candidates: 3, Rejected: 3, Revision: digest},
		Selected:  &explain.Candidate{Rank: 1, Tag: "build-10", Key: "10", Digest: digest},
		RunnersUp: []explain.Candidate{{Rank: 2, Tag: "build-9", Key: "9"}},
		Rejections: []explain.Rejection{
			{Cause: explain.CauseExcluded, Item: new(0), Reason: `excluded by spec.exclusionList[0] "^dev"`, Count: 1, Examples: []string{"dev"}},
			{Cause: "PatternMismatch", Reason: `not matched by filterTags.pattern "^build-(.*)"`, Count: 3, Examples: []string{"latest", "edge", "1.0.0"}},
		},
		Rejected: []explain.RejectedTag{{Tag: "1.0.0", Cause: "PatternMismatch", Reason: `does not match filterTags.pattern "^build-(.*)"`}},
		Notes: []explain.Note{
			{Reason: explain.NotePolicySuspended, Message: "the policy is suspended: its status stays as it is until it is resumed"},
			{Reason: "Odd", Message: "a message with \x1b[31mcolours\x1b[0m, a\nline feed and \u009b2J"},
		},
	}
}

// tagResult returns a result that explains one tag and selects nothing.
func tagResult() *explain.Result {
	r := result()
	r.Selected, r.RunnersUp, r.Rejected, r.Policy.LatestRef = nil, nil, nil, nil
	r.Tags.Candidates, r.Tags.Complete, r.Tags.Source = 0, false, explain.FromStatus
	r.Repository.LastScan.Due = "never scanned"
	r.Tag = &explain.TagExplanation{Tag: "x", Verdict: explain.Rejected, Cause: "NoNumber", Reason: "is not a number: it does not start with a digit"}
	return r
}

// gatedResult returns a result with gates and with candidates that don't pass them.
func gatedResult() *explain.Result {
	const moved = "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
	r := result()
	r.Gates = &explain.Gates{
		Platforms: []string{"linux/amd64", "linux/arm64"}, MinimumAge: "72h", Verify: "by a key in Secret 'cosign-keys', with cosign",
		EvaluatedBy: explain.ByController,
	}
	r.PassedOver = []explain.Candidate{
		{Rank: 1, Tag: "build-12", Key: "12", Digest: moved, Verdict: v1.CandidateRejected, Gate: v1.GateVerify, Message: "has no signature\x1b[31m"},
		{Rank: 2, Tag: "build-11", Key: "11", Digest: moved, Verdict: v1.CandidatePending, Gate: v1.GateMinimumAge,
			Message:    "was first seen at 2026-05-01T12:00:00Z, and is old enough at 2026-05-04T12:00:00Z",
			EligibleAt: new(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))},
	}
	r.Selected.Rank, r.Selected.Verdict, r.Selected.Gate = 3, v1.CandidateRetained, v1.GatePlatforms
	r.Selected.Message = "does not provide linux/arm64, only linux/amd64; " + r.Selected.Digest + ", which passed before, stays selected"
	r.RunnersUp[0].Rank, r.Tags.Candidates, r.Tags.Listed = 4, 6, 10
	r.Rejections = append(r.Rejections, explain.Rejection{Cause: "HeldBack", Reason: "held back by spec.exclude", Count: 1, Examples: []string{"build-13"}})
	return r
}

// historyResult returns a result with the history of a policy, whose oldest entry has no time.
func historyResult() *explain.Result {
	r := gatedResult()
	at := func(hours time.Duration) *metav1.Time {
		return new(metav1.NewTime(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).Add(-hours * time.Hour)))
	}
	entry := func(name, tag, digest string, at *metav1.Time, cause v1.SelectionCause, age string) explain.HistoryEntry {
		return explain.HistoryEntry{HistoryEntry: v1.HistoryEntry{Name: name, Tag: tag, Digest: digest, SelectedAt: at, Reason: cause, Generation: 2}, Age: age}
	}
	digest := r.Policy.LatestRef.Digest
	r.History = &explain.History{
		Entries: []explain.HistoryEntry{
			entry("app", "build-9", digest, at(0), v1.SelectedGatePassed, "12s"),
			entry("app", "build-8", digest, at(50), v1.SelectedImageChanged, "2d2h"),
			entry("old\x1b", "build-8", "", nil, "", ""),
		},
		Rollback: &explain.Rollback{
			To: image.NewRef("app", "build-8", digest), Exclude: []string{"build-10", "build-9"},
			Command: `kubectl patch imagepolicy app -n apps --type merge -p '{"spec":{"exclude":["build-10","build-9"]}}'`,
			Message: "a tag that is pushed later is selected",
		},
	}
	return r
}

// firstResult returns a result with a history of one image.
func firstResult() *explain.Result {
	r := historyResult()
	r.History.Entries, r.History.Rollback = r.History.Entries[:1], nil
	return r
}

// notEvaluatedResult returns a result with gates that were not evaluated and unranked candidates.
func notEvaluatedResult() *explain.Result {
	r := gatedResult()
	r.PassedOver, r.RunnersUp, r.Selected = nil, nil, &explain.Candidate{Rank: 1, Tag: "build-12", Verdict: explain.NotEvaluated}
	r.Tags.Candidates, r.Tags.Unranked = 1, 5
	return r
}

func TestWrite_MatchesGoldenFiles(t *testing.T) {
	for file, tt := range map[string]struct {
		result *explain.Result
		format string
		style  terminal.Style
	}{
		"table.txt":        {result(), render.Table, terminal.Style{}},
		"wide.txt":         {result(), render.Wide, terminal.Style{}},
		"narrow.txt":       {result(), render.Table, terminal.Style{Width: 60}},
		"color.txt":        {result(), render.Table, terminal.Style{Color: true}},
		"gates.txt":        {gatedResult(), render.Table, terminal.Style{}},
		"gates-wide.txt":   {gatedResult(), render.Wide, terminal.Style{}},
		"gates-color.txt":  {gatedResult(), render.Table, terminal.Style{Color: true, Width: 100}},
		"gates.json":       {gatedResult(), render.JSON, terminal.Style{}},
		"notevaluated.txt": {notEvaluatedResult(), render.Table, terminal.Style{}},
		"history.txt":      {historyResult(), render.Table, terminal.Style{}},
		"history-wide.txt": {historyResult(), render.Wide, terminal.Style{Color: true}},
		"history-one.txt":  {firstResult(), render.Table, terminal.Style{}},
		"history.json":     {historyResult(), render.JSON, terminal.Style{}},
		"story.txt":        {tagResult(), render.Table, terminal.Style{}},
		"full.json":        {result(), render.JSON, terminal.Style{Color: true}},
		"full.yaml":        {result(), render.YAML, terminal.Style{Color: true}},
		"story.json":       {tagResult(), render.JSON, terminal.Style{}},
	} {
		t.Run(file, func(t *testing.T) {
			g := NewWithT(t)
			var got bytes.Buffer
			g.Expect(render.Write(&got, tt.result, tt.format, tt.style)).To(Succeed())
			path := filepath.Join("testdata", file)
			if *update {
				g.Expect(os.WriteFile(path, got.Bytes(), 0o600)).To(Succeed())
			}
			want, err := os.ReadFile(path)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got.String()).To(BeComparableTo(string(want)), "%s (-want +got), to accept it: go test ./internal/explain/render -update", path)
			checkPrintable(t, got.String(), tt.style)
		})
	}
}

// checkPrintable reports control characters and lines that are too long.
func checkPrintable(t *testing.T, printed string, style terminal.Style) {
	t.Helper()
	for _, color := range []text.Color{text.Bold, text.FgGreen, text.FgYellow, text.Faint, text.Reset} {
		if style.Color {
			printed = strings.ReplaceAll(printed, color.EscapeSeq(), "")
		}
	}
	for line := range strings.Lines(printed) {
		if width := text.StringWidth(strings.TrimSuffix(line, "\n")); style.Width > 0 && width > style.Width {
			t.Errorf("%d columns: %s", width, line)
		}
	}
	for _, r := range printed {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("unprintable character %U", r)
		}
	}
}

// TestWrite_RoundTripsJSONAndYAML checks that JSON and YAML contain the complete result.
func TestWrite_RoundTripsJSONAndYAML(t *testing.T) {
	g := NewWithT(t)
	for format, read := range map[string]func([]byte, *explain.Result) error{
		render.JSON: func(b []byte, r *explain.Result) error { return json.Unmarshal(b, r) },
		render.YAML: func(b []byte, r *explain.Result) error { return yaml.UnmarshalStrict(b, r) },
	} {
		for _, want := range []*explain.Result{result(), gatedResult(), historyResult(), notEvaluatedResult()} {
			var out bytes.Buffer
			g.Expect(render.Write(&out, want, format, terminal.Style{})).To(Succeed())
			var got explain.Result
			g.Expect(read(out.Bytes(), &got)).To(Succeed())
			g.Expect(&got).To(BeComparableTo(want), "%s", format)
		}
	}
}
