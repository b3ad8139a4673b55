// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
)

// page is a Markdown file.
type page struct {
	path  string // below the root of the repository
	lines []string
}

// block is a fenced block of a page.
type block struct {
	info string
	line int // of the opening fence
	text string
}

// root returns the root of the repository.
func root(t *testing.T) string {
	t.Helper()
	dir, err := stage.Root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// folders hold pages, beside the root of the repository.
var folders = []string{"docs", "hack", "config", "api", ".github"}

// pages returns the Markdown files in the root of the repository and in folders.
func pages(t *testing.T) []page {
	t.Helper()
	var found []page
	dir := root(t)
	add := func(path string) {
		content, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, page{path: path, lines: strings.Split(string(content), "\n")})
	}
	atRoot, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range atRoot {
		add(filepath.Base(file))
	}
	for _, folder := range folders {
		err = fs.WalkDir(os.DirFS(dir), folder, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".md") {
				add(path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return found
}

// blocks returns the fenced blocks of the page.
func (p page) blocks() []block {
	var found []block
	open := false
	for i, line := range p.lines {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && !open:
			found = append(found, block{info: strings.TrimSpace(info), line: i + 1})
			open = true
		case fence:
			open = false
		case open:
			found[len(found)-1].text += line + "\n"
		}
	}
	return found
}

// prose returns the lines outside of fenced blocks. The others are empty.
func (p page) prose() []string {
	prose := make([]string, len(p.lines))
	open := false
	for i, line := range p.lines {
		if strings.HasPrefix(line, "```") {
			open = !open
		} else if !open {
			prose[i] = line
		}
	}
	return prose
}

var heading = regexp.MustCompile(`^#{1,6} +(.*?) *$`)

// anchors returns what links into the page may name.
func (p page) anchors() map[string]bool {
	anchors := map[string]bool{"": true}
	for _, line := range p.prose() {
		if m := heading.FindStringSubmatch(line); m != nil {
			anchors[slug(m[1])] = true
		}
	}
	return anchors
}

var notInSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// slug returns the anchor that GitHub gives a heading.
func slug(text string) string {
	return strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(text), ""), " ", "-")
}
