// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

const root = "../.."

// builtFiles is the template by which `go list -deps` prints the files that a package is built from.
const builtFiles = `{{if not .Standard}}{{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}}
{{end}}{{range .EmbedFiles}}{{$dir}}/{{.}}
{{end}}{{end}}`

// TestDockerfile_MatchesImage has the Dockerfile copy all that the controller is built from, as there is no daemon that
// would build it, and make an image with the same user and entry point.
func TestDockerfile_MatchesImage(t *testing.T) {
	g := NewWithT(t)
	dockerfile, ignored := lines(t, "Dockerfile"), lines(t, ".dockerignore")
	copied := copiedBy(dockerfile)
	for _, source := range copied {
		if first, _, _ := strings.Cut(source, "/"); !slices.Contains(ignored, "!"+first) {
			t.Errorf(".dockerignore keeps %s from the Dockerfile, which copies it", first)
		}
	}
	for _, file := range append(sources(t), "go.mod", "go.sum", "api/go.mod", "api/go.sum", "LICENSE") {
		g.Expect(slices.ContainsFunc(copied, func(source string) bool { return covers(source, file) })).To(BeTrue(), "the Dockerfile does not copy %s, from which the controller is built", file)
	}
	g.Expect(dockerfile).To(ContainElement("USER "+user), "the Dockerfile has another user or entry point than make image")
	g.Expect(dockerfile).To(ContainElement(`ENTRYPOINT ["`+program+`"]`), "the Dockerfile has another user or entry point than make image")
}

// copiedBy returns what a Dockerfile copies from the sources.
func copiedBy(dockerfile []string) []string {
	var copied []string
	for _, line := range dockerfile {
		fields := strings.Fields(line)
		if len(fields) > 2 && fields[0] == "COPY" && !strings.HasPrefix(fields[1], "--from") {
			copied = append(copied, fields[1:len(fields)-1]...)
		}
	}
	return copied
}

// covers reports whether a source of COPY, a pattern or a folder, holds a file.
func covers(source, file string) bool {
	matches, err := path.Match(source, file)
	return matches && err == nil || strings.HasSuffix(source, "/") && strings.HasPrefix(file, source)
}

func lines(t *testing.T, file string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, file))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return strings.Split(string(content), "\n")
}

// sources returns the files of this repository that the controller is built from.
func sources(t *testing.T) []string {
	t.Helper()
	g := NewWithT(t)
	dir, err := filepath.Abs(root)
	g.Expect(err).NotTo(HaveOccurred())
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", builtFiles, ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS=linux")
	out, err := cmd.Output()
	g.Expect(err).NotTo(HaveOccurred())
	var found []string
	for file := range strings.FieldsSeq(string(out)) {
		if rest, own := strings.CutPrefix(file, dir+"/"); own {
			found = append(found, rest)
		}
	}
	g.Expect(found).NotTo(BeEmpty(), "the controller is built from no file")
	return found
}
