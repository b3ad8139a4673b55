// SPDX-License-Identifier: Apache-2.0

package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func TestStale_ReturnsChangedInput(t *testing.T) {
	const stamp = "version v1.36.3\ngo go1.26.8\n"
	cases := map[string]struct {
		reason string
		binary os.FileMode // no file where 0
		stamp  string
		want   string
	}{
		"current":        {reason: "a program built from the same inputs is reused", binary: 0o755, stamp: stamp},
		"no binary":      {reason: "the stamp alone is not enough", stamp: stamp, want: "not built yet"},
		"not executable": {reason: "envtest can't start it", binary: 0o644, stamp: stamp, want: "not built yet"},
		"no stamp":       {reason: "the inputs of a copied binary are unknown", binary: 0o755, want: "it has no stamp with the inputs of its build"},
		"other Go": {
			reason: "another compiler builds another program, and the log has the reason",
			binary: 0o755, stamp: "version v1.36.3\ngo go1.26.7\n",
			want: `go changed (is "go1.26.8")`,
		},
		"missing key": {reason: "an older version of this command wrote fewer keys", binary: 0o755, stamp: "version v1.36.3\n", want: `go changed (is "go1.26.8")`},
		"unknown key": {reason: "a newer version of this command may write more keys", binary: 0o755, stamp: stamp + "more x\n", want: "its stamp has unknown lines"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			plan := Plan{Program: Program{Name: "etcd"}, stamp: stamp}
			if tc.binary != 0 {
				write(t, filepath.Join(folder, "etcd"), "", tc.binary)
			}
			if tc.stamp != "" {
				write(t, plan.stampFile(folder), tc.stamp, 0o644)
			}
			got, err := plan.Stale(folder)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("Stale = %q; want %q: %s", got, tc.want, tc.reason)
			}
		})
	}
}

func TestInstall_RemovesStampOnFailure(t *testing.T) {
	folder := t.TempDir()
	plan := Plan{Program: Program{Name: "etcd"}, stamp: "version new\n"}
	write(t, filepath.Join(folder, "etcd"), "old", 0o755)
	write(t, plan.stampFile(folder), "version old\n", 0o644)

	if err := plan.Install(filepath.Join(folder, "missing"), folder); err == nil {
		t.Fatal("Install of a missing file succeeded")
	}
	reverted := Plan{Program: plan.Program, stamp: "version old\n"}
	if reason, _ := reverted.Stale(folder); reason == "" {
		t.Error("the old stamp still exists: a reverted pin would reuse the wrong binary")
	}
}

func TestNewPlan_StampsAllBuildInputs(t *testing.T) {
	modules := t.TempDir()
	b := Program{Name: "demo", Folder: "demo", Module: "example.com/demo", Package: "example.com/demo/cmd", linkVars: etcdVersion}
	dir := filepath.Join(modules, "demo")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "go.mod"), "module m\n\ngo 1.26.0\n\nrequire example.com/demo v1.2.3\n", 0o644)
	write(t, filepath.Join(dir, "go.sum"), "a\n", 0o644)

	before := mustPlan(t, modules, b)
	if before.Version != "v1.2.3" || before.dir != dir {
		t.Errorf("NewPlan = version %q in %q; want the version that go.mod requires", before.Version, before.dir)
	}
	for _, key := range []string{"package", "version v1.2.3", "platform", "go go1.", "flags", "go.mod", "go.sum"} {
		if !strings.Contains("\n"+before.stamp, "\n"+key) {
			t.Errorf("the stamp has no %q, so that its changes would not be detected:\n%s", key, before.stamp)
		}
	}
	if again := mustPlan(t, modules, b); again.stamp != before.stamp {
		t.Errorf("the stamp is not stable: %s", again.stamp)
	}

	write(t, filepath.Join(dir, "go.sum"), "b\n", 0o644)
	if mustPlan(t, modules, b).stamp == before.stamp {
		t.Error("the stamp is the same after go.sum changed")
	}

	b.Module = "example.com/other"
	if _, err := NewPlan(t.Context(), modules, b); err == nil {
		t.Error("NewPlan succeeded for a module that is not required")
	}
}

func mustPlan(t *testing.T, modules string, b Program) Plan {
	t.Helper()
	plan, err := NewPlan(t.Context(), modules, b)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
