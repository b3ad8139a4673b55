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

// builtFiles is a template for `go list -deps` that prints the source files of packages.
const builtFiles = `{{if not .Standard}}{{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}}
{{end}}{{range .EmbedFiles}}{{$dir}}/{{.}}
{{end}}{{end}}`

// TestDockerfile_MatchesImage checks without a daemon that the Dockerfile copies all sources of the
// controller, and sets the same user and entry point as make image.
func TestDockerfile_MatchesImage(t *testing.T) {
	g := NewWithT(t)
	dockerfile, ignored := lines(t, "Dockerfile"), lines(t, ".dockerignore")
	copied := copiedBy(dockerfile)
	for _, source := range copied {
		if first, _, _ := strings.Cut(source, "/"); !slices.Contains(ignored, "!"+first) {
			t.Errorf(".dockerignore excludes %s, which the Dockerfile copies", first)
		}
	}
	for _, file := range append(sources(t), "go.mod", "go.sum", "api/go.mod", "api/go.sum", "LICENSE") {
		g.Expect(slices.ContainsFunc(copied, func(source string) bool { return covers(source, file) })).To(BeTrue(), "the Dockerfile does not copy %s, a source of the controller", file)
	}
	g.Expect(dockerfile).To(ContainElement("USER "+user), "the Dockerfile has another user or entry point than make image")
	g.Expect(dockerfile).To(ContainElement(`ENTRYPOINT ["`+program+`"]`), "the Dockerfile has another user or entry point than make image")
}

// copiedBy returns the paths that a Dockerfile copies from the build context.
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

// covers reports whether a source of COPY, a pattern or a folder, includes a file.
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

// sources returns the files of this repository from which the controller is built.
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
		if path, inRepository := strings.CutPrefix(file, dir+"/"); inRepository {
			found = append(found, path)
		}
	}
	g.Expect(found).NotTo(BeEmpty(), "the controller has no sources")
	return found
}
