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

// TestGuides_CommandsWork runs the commands of every page.
func TestGuides_CommandsWork(t *testing.T) {
	f := newFixture(t)
	for n, g := range guides {
		if n == len(guides)-1 { // the last one removes everything
			t.Run("prose", func(t *testing.T) { runInlineCommands(f.forSubtest(t)) })
		}
		t.Run(strings.TrimSuffix(g.page, ".md"), func(t *testing.T) { g.run(f.forSubtest(t), pageAt(t, g.page)) })
	}
}

// TestGuides_CoverEveryPage checks that guides contains every page with commands, and that every
// step has its command on the page.
func TestGuides_CoverEveryPage(t *testing.T) {
	for _, p := range pages(t) {
		i := slices.IndexFunc(guides, func(g guidePage) bool { return g.page == p.path })
		if i < 0 {
			NewWithT(t).Expect(p.commands()).To(BeEmpty(), "%s has commands: add it to guides", p.path)
			continue
		}
		missing := maps.Clone(guides[i].steps)
		for _, c := range p.commands() {
			delete(missing, c.oneLine())
		}
		for text := range missing {
			t.Errorf("%s does not have the command %s", p.path, text)
		}
	}
}

// run runs the commands of the page in order.
func (g guidePage) run(f *fixture, p page) {
	dir := cmp.Or(g.dir, clone)
	f.writeFiles(p, dir)
	shell := startShell(f.t, filepath.Join(f.dir, dir), f.env)
	for _, c := range p.commands() {
		s := g.steps[c.oneLine()]
		if s.skipReason != "" {
			continue
		}
		if s.before != nil {
			s.before(f)
		}
		text := f.placeholders.Replace(c.text)
		if log := f.path("running.log"); s.until != "" {
			text = background(text, s.until, log)
			defer func() {
				if printed, err := shell.run(ctrlC(log)); err != nil || !strings.Contains(printed, s.ends) {
					f.t.Errorf("%s:%d: %s does not end with %q on Ctrl-C: %v\n%s", p.path, c.line, c.oneLine(), s.ends, err, printed)
				}
			}()
		}
		start := time.Now()
		printed, err := shell.run(text)
		f.t.Logf("%6.1f s  %s", time.Since(start).Seconds(), c.oneLine())
		if err != nil {
			f.t.Fatalf("%s:%d: %s: %v\n%s", p.path, c.line, c.oneLine(), err, printed)
		}
		if !regexp.MustCompile("(?m)" + s.prints).MatchString(printed) {
			f.t.Errorf("%s:%d: %s prints no text that matches %q:\n%s", p.path, c.line, c.oneLine(), s.prints, printed)
		}
	}
}

// prosePlaceholders replaces the placeholders in the prose.
var prosePlaceholders = strings.NewReplacer("NAME", "podinfo", "TAG", "5.2.1", "--top N", "--top 3")

// incompleteCommand matches commands of the prose that are mentioned without their arguments.
var incompleteCommand = regexp.MustCompile(`^(kubectl (apply|apply --dry-run=server|wait|create secret docker-registry)|\S+( imagepolicy)? explain)$`)

// runInlineCommands runs the commands of the prose, each once. The commands of
// docs/guides/explain.md have installed the plugin.
func runInlineCommands(f *fixture) {
	f.push("org/app:20.0.0")
	f.kubectl("create", "namespace", "payments")
	executed := map[string]bool{}
	shell := startShell(f.t, filepath.Dir(f.path("prose/any")), f.env)
	for _, p := range pages(f.t) {
		f.writeFiles(p, "prose")
		for _, c := range p.inlineCommands() {
			if incompleteCommand.MatchString(c.text) || executed[c.text] {
				continue
			}
			executed[c.text] = true
			text := f.placeholders.Replace(prosePlaceholders.Replace(c.text))
			if strings.HasPrefix(text, "explain ") {
				text = "image-reflector-controller " + text
			}
			if printed, err := shell.run(text); err != nil {
				f.t.Errorf("%s:%d: %s: %v\n%s", p.path, c.line, c.text, err, printed)
			}
		}
	}
	if len(executed) == 0 {
		f.t.Error("no command of the prose was executed")
	}
}
