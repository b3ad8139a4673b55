// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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

func TestNotes(t *testing.T) {
	cases := map[string]struct{ reason, version, want, problem string }{
		"newest": {
			reason: "it ends where the next version begins, and files are linked at this one", version: "v1.1.0",
			want: "### Added\n\n- A thing ([guide](" + files + "v1.1.0/docs/guides/thing.md#how), [spec](https://example.com/spec)).\n",
		},
		"oldest in brackets": {
			reason: "Keep a Changelog has versions in brackets, and without the v", version: "v1.0.0",
			want: "- The first one, in [config/flux](" + files + "v1.0.0/config/flux).\n",
		},
		"absent":    {reason: "the changelog was forgotten", version: "v1.2.0", problem: `there is no section "## v1.2.0", only Unreleased, v1.1.0, 1.0.0`},
		"beginning": {reason: "v1.1 is not v1.1.0", version: "v1.1", problem: `there is no section "## v1.1"`},
		"empty":     {reason: "a release of which nothing is said has no notes", version: "Unreleased", problem: "nothing is said of Unreleased"},
		"none":      {reason: "make passes an empty one", version: "", problem: "name the version"},
	}
	file := filepath.Join(t.TempDir(), "CHANGELOG.md")
	if err := os.WriteFile(file, []byte(changelog), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			err := run([]string{"-changelog", file, tc.version}, &out)
			if out.String() != tc.want {
				t.Errorf("got\n%s\nwant\n%s\n%s", out.String(), tc.want, tc.reason)
			}
			if (err == nil) != (tc.problem == "") || err != nil && !strings.Contains(err.Error(), tc.problem) {
				t.Errorf("got the error %v, want %q: %s", err, tc.problem, tc.reason)
			}
		})
	}
}

// TestOwnChangelog has the repository's own changelog readable.
func TestOwnChangelog(t *testing.T) {
	var out strings.Builder
	if err := run([]string{"-changelog", "../../CHANGELOG.md", "Unreleased"}, &out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "\n## ") || !strings.Contains(out.String(), "](https://") {
		t.Errorf("these are no notes of one version, with links to its files:\n%s", out.String())
	}
}
