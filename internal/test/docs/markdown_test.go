// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// page is a Markdown file.
type page struct {
	path  string // relative to the root of the repository
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
	dir, err := testenv.Root()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return dir
}

// folders are the directories with pages, in addition to the root of the repository.
var folders = []string{"docs", "hack", "config", "api"}

// pages returns the Markdown files in the root of the repository and in folders.
func pages(t *testing.T) []page {
	t.Helper()
	repository := os.DirFS(root(t))
	paths, err := fs.Glob(repository, "*.md")
	for _, folder := range folders {
		err = errors.Join(err, fs.WalkDir(repository, folder, func(path string, _ fs.DirEntry, err error) error {
			if strings.HasSuffix(path, ".md") {
				paths = append(paths, path)
			}
			return err
		}))
	}
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	var found []page
	for _, path := range paths {
		found = append(found, pageAt(t, path))
	}
	return found
}

func pageAt(t *testing.T, path string) page {
	t.Helper()
	return page{path: path, lines: strings.Split(content(t, path), "\n")}
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

// prose returns the lines of the page, with those of fenced blocks replaced by empty ones.
func (p page) prose() []string {
	prose := slices.Clone(p.lines)
	for _, b := range p.blocks() {
		clear(prose[b.line-1 : b.line+1+strings.Count(b.text, "\n")])
	}
	return prose
}

var (
	heading = regexp.MustCompile(`^#{1,6} +(.*?) *$`)
	// notInSlug matches the characters of a heading that GitHub omits in its anchor.
	notInSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors returns the anchors of the page, including the empty one.
func (p page) anchors() map[string]bool {
	anchors := map[string]bool{"": true}
	for _, line := range p.prose() {
		if m := heading.FindStringSubmatch(line); m != nil {
			anchors[strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
		}
	}
	return anchors
}
