// SPDX-License-Identifier: Apache-2.0

package make_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

const changelog = `# Changelog

The format is that of [Keep a Changelog](https://keepachangelog.com/en/1.1.0/).

## Unreleased

## v1.1.0 - 2026-12-01

### Added

- A thing ([guide](docs/guides/thing.md#how), [spec](https://example.com/spec)).

## [1.0.0] - 2026-11-01

- The first one, in [config/flux](config/flux).
`

func TestReleaseNotes_ContainSectionOfVersion(t *testing.T) {
	const files = "https://github.com/fluxcd/image-reflector-controller/blob/"
	file := filepath.Join(t.TempDir(), "CHANGELOG.md")
	NewWithT(t).Expect(os.WriteFile(file, []byte(changelog), 0o600)).To(Succeed())
	for name, tc := range map[string]struct {
		reason, version, want string
		fails                 bool
	}{
		"newest": {
			reason: "it ends at the next version, and links point to files of this version", version: "VERSION=v1.1.0",
			want: "### Added\n\n- A thing ([guide](" + files + "v1.1.0/docs/guides/thing.md#how), [spec](https://example.com/spec)).\n",
		},
		"oldest in brackets": {
			reason: "Keep a Changelog writes versions in brackets and without the v", version: "VERSION=v1.0.0",
			want: "- The first one, in [config/flux](" + files + "v1.0.0/config/flux).\n",
		},
		"absent":    {reason: "the changelog has no such section", version: "VERSION=v1.2.0", fails: true, want: `no section "## v1.2.0", only Unreleased, v1.1.0, 1.0.0`},
		"beginning": {reason: "v1.1 is not v1.1.0", version: "VERSION=v1.1", fails: true, want: `no section "## v1.1"`},
		"empty":     {reason: "a release without changes has no notes", version: "VERSION=Unreleased", fails: true, want: "the section of Unreleased is empty"},
		"none":      {reason: "the default of VERSION applies only to builds", version: "VERSION=", fails: true, want: "name the version"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := runMake(t, "release-notes", "CHANGELOG="+file, tc.version)
			if (err != nil) != tc.fails || !tc.fails && got != tc.want || tc.fails && !strings.Contains(got, tc.want) {
				t.Errorf("got %v and\n%s\nwant\n%s\n%s", err, got, tc.want, tc.reason)
			}
		})
	}
}

func TestReleaseNotes_CoverUnreleasedChanges(t *testing.T) {
	g := NewWithT(t)
	got := mustMake(t, "release-notes", "VERSION=Unreleased")
	g.Expect(got).NotTo(ContainSubstring("\n## "), "the notes contain one version only")
	g.Expect(got).To(ContainSubstring("](https://github.com/"), "links to files are absolute")
}
