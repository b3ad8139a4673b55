// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFindRoot(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "internal", "scan")
	for _, dir := range []string{deep, filepath.Join(root, moduleFolder)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, moduleFolder, "go.mod"), nil, 0o644); err != nil {
		t.Fatal(err)
	}

	cases := map[string]struct {
		reason string
		from   string
		want   string
		fails  bool
	}{
		"root":           {reason: "make runs the command from the root", from: root, want: root},
		"module":         {reason: "go generate runs it from the module", from: filepath.Join(root, moduleFolder), want: root},
		"elsewhere":      {reason: "a developer may stand in any folder", from: deep, want: root},
		"not repository": {reason: "outside there is nothing to build", from: t.TempDir(), fails: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := findRoot(tc.from)
			if got != tc.want || (err != nil) != tc.fails {
				t.Errorf("findRoot = %q, %v; want %q, fails %v: %s", got, err, tc.want, tc.fails, tc.reason)
			}
		})
	}
}
