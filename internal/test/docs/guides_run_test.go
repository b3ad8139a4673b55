// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"cmp"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// TestGuides_CommandsWork types the commands of every page, as printed.
func TestGuides_CommandsWork(t *testing.T) {
	w := newWorld(t)
	for n, g := range guides {
		if n == len(guides)-1 { // the last one removes everything
			t.Run("prose", func(t *testing.T) { typeInline(w.in(t)) })
		}
		t.Run(strings.TrimSuffix(g.page, ".md"), func(t *testing.T) { g.follow(w.in(t), pageAt(t, g.page)) })
	}
}

// TestGuides_CoverEveryPage looks for pages with commands that are not among the
// guides, and for steps with commands that their page does not have.
func TestGuides_CoverEveryPage(t *testing.T) {
	for _, p := range pages(t) {
		i := slices.IndexFunc(guides, func(g guide) bool { return g.page == p.path })
		if i < 0 {
			NewWithT(t).Expect(p.commands()).To(BeEmpty(), "%s has commands: add it to guides", p.path)
			continue
		}
		gone := maps.Clone(guides[i].steps)
		for _, c := range p.commands() {
			delete(gone, c.bare())
		}
		for bare := range gone {
			t.Errorf("%s does not have the command %s", p.path, bare)
		}
	}
}

// follow does what the page says, from its beginning to its end.
func (g guide) follow(w *world, p page) {
	dir := cmp.Or(g.dir, clone)
	w.shown(p, dir)
	shell := openTerminal(w.t, filepath.Join(w.dir, dir), w.env)
	for _, c := range p.commands() {
		s := g.steps[c.bare()]
		if s.notRun != "" {
			continue
		}
		if s.before != nil {
			s.before(w)
		}
		text := w.standsFor.Replace(c.text)
		if log := w.path("running.log"); s.until != "" {
			text = background(text, s.until, log)
			defer func() {
				if printed, err := shell.run(ctrlC(log)); err != nil || !strings.Contains(printed, s.ends) {
					w.t.Errorf("%s:%d: %s does not end with %q on Ctrl-C: %v\n%s", p.path, c.line, c.bare(), s.ends, err, printed)
				}
			}()
		}
		began := time.Now()
		printed, err := shell.run(text)
		w.t.Logf("%6.1f s  %s", time.Since(began).Seconds(), c.bare())
		if err != nil {
			w.t.Fatalf("%s:%d: %s: %v\n%s", p.path, c.line, c.bare(), err, printed)
		}
		if !regexp.MustCompile("(?m)" + s.prints).MatchString(printed) {
			w.t.Errorf("%s:%d: %s prints nothing that matches %q:\n%s", p.path, c.line, c.bare(), s.prints, printed)
		}
	}
}

// inProse is what is put in place of what a reader fills in.
var inProse = strings.NewReplacer("NAME", "podinfo", "TAG", "5.2.1", "--top N", "--top 3")

// unfinished are commands of the prose that others complete.
var unfinished = regexp.MustCompile(`^(kubectl (apply|apply --dry-run=server|wait|create secret docker-registry)|\S+( imagepolicy)? explain)$`)

// typeInline types the commands of the prose, each once. The plugin is there
// since docs/guides/explain.md.
func typeInline(w *world) {
	w.push("org/app:20.0.0")
	w.kubectl("create", "namespace", "payments")
	typed := map[string]bool{}
	shell := openTerminal(w.t, filepath.Dir(w.path("prose/any")), w.env)
	for _, p := range pages(w.t) {
		w.shown(p, "prose")
		for _, c := range p.inlineCommands() {
			if unfinished.MatchString(c.text) || typed[c.text] {
				continue
			}
			typed[c.text] = true
			text := w.standsFor.Replace(inProse.Replace(c.text))
			if strings.HasPrefix(text, "explain ") {
				text = "image-reflector-controller " + text
			}
			if printed, err := shell.run(text); err != nil {
				w.t.Errorf("%s:%d: %s: %v\n%s", p.path, c.line, c.text, err, printed)
			}
		}
	}
	if len(typed) == 0 {
		w.t.Error("no command of the prose was typed")
	}
}
