// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/explain/terminal"
)

// asTable renders what people read. What is not asked for by a tag's name is
// left out where one is.
func asTable(r *explain.Result, wide bool, style terminal.Style) string {
	p := &page{style: style, wide: wide}
	p.head(r)
	if r.Tag != nil {
		p.field("Tag", style.Paint(terminal.Bold, terminal.Clean(r.Tag.Tag)))
		p.field("", terminal.Clean(r.Tag.Reason))
	} else {
		p.ranking(r)
		p.rejections(r)
	}
	p.rejected(r)
	p.notes(r)
	return p.text.String()
}

// page is what is printed.
type page struct {
	style terminal.Style
	wide  bool
	text  strings.Builder
}

func (p *page) line(text string) { p.text.WriteString(strings.TrimRight(text, " ") + "\n") }

// labelWidth is the width of the names of fields, with the gap behind them.
const labelWidth = 12

// field prints a name and a value, which is wrapped where it is too long.
func (p *page) field(name, value string) {
	width := 0
	if p.style.Width > 0 {
		width = max(p.style.Width-labelWidth, 20)
	}
	for i, line := range terminal.Wrap(value, width) {
		label := strings.Repeat(" ", labelWidth)
		if i == 0 && name != "" {
			label = p.style.Paint(terminal.Bold, name) + label[len(name):]
		}
		p.line(label + line)
	}
}

// table prints rows below their titles. The last column is cut where it does
// not fit.
func (p *page) table(rows [][]string, color func(row int) string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], terminal.Width(cell))
		}
	}
	for n, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-terminal.Width(cell)+2))
			}
		}
		text := terminal.Cut(strings.TrimRight(line.String(), " "), p.style.Width)
		p.line(p.style.Paint(color(n), text))
	}
}

// titled colours the titles of a table.
func titled(row int) string {
	if row == 0 {
		return terminal.Bold
	}
	return ""
}

func (p *page) ranking(r *explain.Result) {
	candidates := slices.Clone(r.PassedOver)
	if r.Selected != nil {
		candidates = append(candidates, *r.Selected)
	}
	candidates = append(candidates, r.RunnersUp...)
	if len(candidates) == 0 {
		return
	}
	keys := p.wide
	for _, c := range candidates {
		keys = keys || c.Key != c.Tag
	}
	keys = keys && r.Tags.Unranked == 0
	rows := [][]string{p.candidate(r, keys, "RANK", "TAG", "COMPARED BY", "GATES")}
	for _, c := range candidates {
		verdict := ""
		if c.Verdict != "" {
			verdict = explain.VerdictText(c.Verdict, c.Gate, p.shortened(c.Message))
		}
		rows = append(rows, p.candidate(r, keys, fmt.Sprint(c.Rank), c.Tag, c.Key, verdict))
	}
	p.line("")
	p.table(rows, func(row int) string {
		if r.Selected != nil && row == len(r.PassedOver)+1 {
			return terminal.Green
		}
		return titled(row)
	})
	if left := r.Tags.Candidates - len(candidates); left > 0 && r.Tags.Unranked == 0 {
		p.line(p.style.Paint(terminal.Faint, fmt.Sprintf("and %d more", left)))
	}
}

// candidate returns those cells of a row that are shown.
func (p *page) candidate(r *explain.Result, keys bool, rank, tag, key, verdict string) []string {
	row := []string{rank, terminal.Clean(tag)}
	if keys {
		row = append(row, terminal.Clean(key))
	}
	if r.Gates != nil {
		row = append(row, terminal.Clean(verdict))
	}
	return row
}

// longDigest is a digest within a text.
var longDigest = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// shortened shortens the digests in a text, unless there is room.
func (p *page) shortened(text string) string { return longDigest.ReplaceAllStringFunc(text, p.short) }

func (p *page) rejections(r *explain.Result) {
	if len(r.Rejections) == 0 {
		return
	}
	rows := [][]string{{"TAGS", "REJECTED BECAUSE", "SUCH AS"}}
	for _, rejection := range r.Rejections {
		rows = append(rows, []string{
			fmt.Sprint(rejection.Count), terminal.Clean(rejection.Reason), terminal.Clean(strings.Join(rejection.Examples, ", ")),
		})
	}
	p.line("")
	p.table(rows, titled)
}

func (p *page) rejected(r *explain.Result) {
	if len(r.Rejected) == 0 {
		return
	}
	rows := [][]string{{"REJECTED TAG", "BECAUSE IT"}}
	for _, tag := range r.Rejected {
		rows = append(rows, []string{terminal.Clean(tag.Tag), terminal.Clean(tag.Reason)})
	}
	p.line("")
	p.table(rows, titled)
}

func (p *page) notes(r *explain.Result) {
	if len(r.Notes) == 0 {
		return
	}
	p.line("")
	for _, note := range r.Notes {
		width := p.style.Width - 2
		for i, line := range terminal.Wrap(terminal.Clean(note.Message), width) {
			mark := "  "
			if i == 0 {
				mark = p.style.Paint(terminal.Yellow, "*") + " "
			}
			p.line(mark + line)
		}
	}
}
