// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"slices"
	"strings"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/terminal"
)

// history prints what the policy selected, newest first, and how to go back.
func (p *tableWriter) history(r *explain.Result) {
	entries := r.History.Entries
	digests := slices.ContainsFunc(entries, func(e explain.HistoryEntry) bool { return e.Digest != "" })
	row := func(at, tag, digest, reason, age string) []string {
		if !digests {
			return []string{at, tag, reason, age}
		}
		return []string{at, tag, digest, reason, age}
	}
	rows, latest := [][]string{row("SELECTED AT", "TAG", "DIGEST", "REASON", "AGE")}, 0
	for i, e := range entries {
		at := "unknown"
		if e.SelectedAt != nil {
			at = e.SelectedAt.UTC().Format(time.RFC3339)
		}
		if i == 0 && e.IsOf(r.Policy.LatestRef) {
			latest = 1
		}
		rows = append(rows, row(at, tagOf(e.Name, e.Tag, r), p.short(e.Digest), cmp.Or(string(e.Reason), "unknown"), e.Age))
	}
	p.table(rows, latest)
	p.rollback(r)
}

// tagOf returns a tag, with the name of its image if that is not the repository's.
func tagOf(name, tag string, r *explain.Result) string {
	if name != r.Repository.Image {
		return name + ":" + tag
	}
	return tag
}

// rollback prints how to go back. The command is one line, whatever the width is, to be copied.
func (p *tableWriter) rollback(r *explain.Result) {
	back := r.History.Rollback
	if len(r.History.Entries) > 0 || back != nil {
		p.line("")
	}
	if back == nil && len(r.History.Entries) > 0 {
		p.field("Go back", "no other image was selected before")
	}
	if back == nil {
		return
	}
	p.field("Go back", "to "+backTo(p, back.To, r))
	if back.Command != "" {
		p.line(strings.Repeat(" ", labelWidth) + terminal.Clean(back.Command))
	}
	if back.Message != "" {
		p.field("", back.Message) // with whole digests, to be copied
	}
}

func backTo(p *tableWriter, to *v1.ImageRef, r *explain.Result) string {
	text := tagOf(to.Name, to.Tag, r)
	if to.Digest != "" {
		text += " " + p.short(to.Digest)
	}
	return text
}
