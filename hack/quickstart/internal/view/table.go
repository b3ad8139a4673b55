// SPDX-License-Identifier: Apache-2.0

package view

import (
	"strings"
	"unicode/utf8"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

var (
	repositoryTitles = []string{"IMAGEREPOSITORY", "READY", "TAGS", "IMAGE", "STATUS"}
	policyTitles     = []string{"IMAGEPOLICY", "READY", "TAG", "DIGEST", "IMAGE", "STATUS"}
)

// Table renders rows as the lines of two tables, one for each kind. No line is
// wider than width, unless that is 0. What matters most comes first, as the end
// of a line is cut where a terminal is narrow.
func Table(rows []Row, width int) []string {
	repositories, policies := [][]string{repositoryTitles}, [][]string{policyTitles}
	for _, row := range rows {
		if row.Kind == v1.ImageRepositoryKind {
			repositories = append(repositories, []string{row.Name, row.Ready, row.Tag, row.Image, row.Message})
			continue
		}
		policies = append(policies, []string{row.Name, row.Ready, row.Tag, short(row.Digest), row.Image, row.Message})
	}
	lines := append(align(repositories), "")
	lines = append(lines, align(policies)...)
	for i, line := range lines {
		lines[i] = cut(line, width)
	}
	return lines
}

// align makes a line of each row, with the columns below each other.
func align(rows [][]string) []string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	lines := make([]string, len(rows))
	for i, row := range rows {
		var line strings.Builder
		for column, cell := range row {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[column]-utf8.RuneCountInString(cell)+2))
		}
		lines[i] = strings.TrimRight(line.String(), " ")
	}
	return lines
}

// short leaves as much of a digest as it takes to tell it from others.
func short(digest string) string {
	const length = len("sha256:") + 12
	return digest[:min(len(digest), length)]
}

// cut shortens a line to a width, and shows that it did.
func cut(line string, width int) string {
	line = strings.ReplaceAll(line, "\n", " ")
	if width <= 0 || utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width-1]) + "…"
}
