// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEveryCommandIsRun has each command run by TestGuides or listed with the
// reason why not, and nothing said of commands that no page has.
func TestEveryCommandIsRun(t *testing.T) {
	said := saidOfCommands()
	for _, p := range pages(t) {
		for _, c := range p.commands() {
			key := p.path + ": " + c.bare()
			delete(said, key)
			followed := slices.ContainsFunc(guides, func(g guide) bool { return g.page == p.path })
			if notRun[p.path][c.bare()] == "" && !followed {
				t.Errorf("%s:%d is not run: add the page to guides, or to notRun the reason why %q can't be", p.path, c.line, c.bare())
			}
		}
	}
	for key := range said {
		t.Errorf("something is said of a command that the page does not have: %s", key)
	}
}

// TestNotRunHereIsRunThere looks for the commands that are run on another page.
func TestNotRunHereIsRunThere(t *testing.T) {
	for page, reasons := range notRun {
		for bare, reason := range reasons {
			if other, is := strings.CutPrefix(reason, onPage); is && !runOn(t, other, bare) {
				t.Errorf("%s: %q is not run on %s", page, bare, other)
			}
		}
	}
}

// saidOfCommands are the commands of which something is said, each with its page.
func saidOfCommands() map[string]bool {
	said := map[string]bool{}
	for page, reasons := range notRun {
		for bare := range reasons {
			said[page+": "+bare] = true
		}
	}
	for _, g := range guides {
		for bare := range g.told() {
			said[g.page+": "+bare] = true
		}
	}
	return said
}

// runOn reports whether a page has a command, and it is run there.
func runOn(t *testing.T, path, bare string) bool {
	t.Helper()
	for _, p := range pages(t) {
		if p.path == path {
			return notRun[path][bare] == "" && slices.ContainsFunc(p.commands(), func(c command) bool { return c.bare() == bare })
		}
	}
	return false
}

// told are the commands of which the guide says something.
func (g guide) told() map[string]bool {
	told := map[string]bool{}
	for bare := range g.before {
		told[bare] = true
	}
	for _, texts := range []map[string]string{g.prints, g.until, g.ends} {
		for bare := range texts {
			told[bare] = true
		}
	}
	return told
}

// TestGuides types the commands of every page, as printed.
func TestGuides(t *testing.T) {
	if len(guides) == 0 {
		t.Fatal("no page is run")
	}
	w := newWorld(t)
	all := pages(t)
	for n, g := range guides {
		if n == len(guides)-1 { // the last one removes everything
			t.Run("prose", func(t *testing.T) { typeInline(w.in(t)) })
		}
		i := slices.IndexFunc(all, func(p page) bool { return p.path == g.page })
		if i < 0 {
			t.Errorf("%s does not exist", g.page)
			continue
		}
		t.Run(strings.TrimSuffix(g.page, ".md"), func(t *testing.T) { g.follow(w.in(t), all[i]) })
	}
}

// follow does what the page says, from its beginning to its end.
func (g guide) follow(w *world, p page) {
	dir := clone
	if g.dir != "" {
		dir = g.dir
	}
	w.shown(p, dir)
	shell := openTerminal(w.t, filepath.Join(w.dir, dir), w.env)
	defer func() {
		if err := shell.close(); err != nil {
			w.t.Errorf("the shell ended badly: %v", err)
		}
	}()
	for _, c := range p.commands() {
		if notRun[p.path][c.bare()] != "" {
			continue
		}
		if prepare := g.before[c.bare()]; prepare != nil {
			prepare(w)
		}
		if until := g.until[c.bare()]; until != "" {
			running := begin(w.t, filepath.Join(w.dir, dir), w.env, w.standsFor.Replace(c.text), until)
			defer g.interrupt(w, c, running)
			continue
		}
		g.enter(w, shell, c)
	}
}

// enter types a command, and looks at what it prints.
func (g guide) enter(w *world, shell *terminal, c command) {
	w.t.Helper()
	began := time.Now()
	printed, err := shell.run(w.standsFor.Replace(c.text))
	w.t.Logf("%6.1f s  %s", time.Since(began).Seconds(), c.bare())
	if err != nil {
		w.t.Fatalf("%s:%d: %s: %v\n%s", c.page, c.line, c.bare(), err, printed)
	}
	if want := g.prints[c.bare()]; !regexp.MustCompile("(?m)" + want).MatchString(printed) {
		w.t.Errorf("%s:%d: %s prints nothing that matches %q:\n%s", c.page, c.line, c.bare(), want, printed)
	}
}

func (g guide) interrupt(w *world, c command, running *endless) {
	w.t.Helper()
	if printed := running.interrupt(); !strings.Contains(printed, g.ends[c.bare()]) {
		w.t.Errorf("%s:%d: %s does not end with %q on Ctrl-C:\n%s", c.page, c.line, c.bare(), g.ends[c.bare()], printed)
	}
}
