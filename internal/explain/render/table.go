// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/terminal"
)

// asTable formats the explanation as fields and tables. If it explains one tag or the history, it
// omits the tables of candidates and rejections.
func asTable(r *explain.Result, wide bool, style terminal.Style) string {
	p := &tableWriter{style: style, wide: wide}
	p.head(r)
	if r.Tag != nil {
		p.painted("Tag", style.Paint(text.Bold, terminal.Clean(r.Tag.Tag)))
		p.field("", r.Tag.Reason)
	}
	if r.History != nil {
		p.history(r)
	}
	if r.Tag == nil && r.History == nil {
		p.ranking(r)
		p.rejections(r.Rejections)
	}
	p.rejected(r.Rejected)
	p.notes(r.Notes)
	return p.text.String()
}

// tableWriter builds the printed text.
type tableWriter struct {
	style terminal.Style
	wide  bool
	text  strings.Builder
}

func (p *tableWriter) line(line string) { p.text.WriteString(strings.TrimRight(line, " ") + "\n") }

// labelWidth is the width of field names with the gap after them.
const labelWidth = 12

// field prints a name and a value, wrapped to the width; an empty value is omitted.
func (p *tableWriter) field(name, value string) {
	if value != "" {
		p.painted(name, terminal.Clean(value))
	}
}

// painted is like field for a value that is cleaned already and may contain colours.
func (p *tableWriter) painted(name, value string) {
	label := p.style.Paint(text.Bold, name) + strings.Repeat(" ", labelWidth-len(name))
	p.hanging(label, labelWidth, value)
}

// hanging prints a value after a label, wrapped with a hanging indent.
func (p *tableWriter) hanging(label string, indent int, value string) {
	width := 0
	if p.style.Width > 0 {
		width = max(p.style.Width-indent, 20)
	}
	for i, line := range terminal.Wrap(value, width) {
		if i > 0 {
			label = strings.Repeat(" ", indent)
		}
		p.line(label + line)
	}
}

// table prints rows; the first one has the titles. It prints nothing if there are no others.
func (p *tableWriter) table(rows [][]string, highlighted int) {
	if len(rows) < 2 {
		return
	}
	p.line("")
	for _, line := range p.style.Table(rows, highlighted) {
		p.line(line)
	}
}

func (p *tableWriter) ranking(r *explain.Result) {
	candidates, selected := slices.Clone(r.PassedOver), 0
	if r.Selected != nil {
		candidates = append(candidates, *r.Selected)
		selected = len(candidates)
	}
	candidates = append(candidates, r.RunnersUp...)
	compared := func(c explain.Candidate) bool { return p.wide || c.Key != c.Tag }
	keys := r.Tags.Unranked == 0 && slices.ContainsFunc(candidates, compared)
	row := func(rank, tag, key, verdict string) []string {
		cells := []string{rank, tag}
		if keys {
			cells = append(cells, key)
		}
		if r.Gates != nil {
			cells = append(cells, verdict)
		}
		return cells
	}
	rows := [][]string{row("RANK", "TAG", "COMPARED BY", "GATES")}
	for _, c := range candidates {
		verdict := ""
		if c.Verdict != "" {
			verdict = explain.VerdictText(c.Verdict, c.Gate, p.short(c.Message))
		}
		rows = append(rows, row(fmt.Sprint(c.Rank), c.Tag, c.Key, verdict))
	}
	p.table(rows, selected)
	if left := r.Tags.Candidates - len(candidates); left > 0 && len(candidates) > 0 && r.Tags.Unranked == 0 {
		p.line(p.style.Paint(text.Faint, fmt.Sprintf("and %d more", left)))
	}
}

func (p *tableWriter) rejections(rejections []explain.Rejection) {
	rows := [][]string{{"TAGS", "REJECTED BECAUSE", "SUCH AS"}}
	for _, rejection := range rejections {
		rows = append(rows, []string{fmt.Sprint(rejection.Count), rejection.Reason, strings.Join(rejection.Examples, ", ")})
	}
	p.table(rows, 0)
}

func (p *tableWriter) rejected(tags []explain.RejectedTag) {
	rows := [][]string{{"REJECTED TAG", "BECAUSE IT"}}
	for _, tag := range tags {
		rows = append(rows, []string{tag.Tag, tag.Reason})
	}
	p.table(rows, 0)
}

func (p *tableWriter) notes(notes []explain.Note) {
	for i, note := range notes {
		if i == 0 {
			p.line("")
		}
		p.hanging(p.style.Paint(text.FgYellow, "*")+" ", len("* "), terminal.Clean(note.Message))
	}
}
