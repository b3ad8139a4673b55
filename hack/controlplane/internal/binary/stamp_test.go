// SPDX-License-Identifier: Apache-2.0

package binary

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

func TestStale(t *testing.T) {
	stamp := newStamp("version", "v1.36.3", "go", "go1.26.8")
	cases := map[string]struct {
		reason string
		binary os.FileMode // no file where 0
		stamp  Stamp
		want   string
	}{
		"current": {
			reason: "what was built from the same is reused",
			binary: 0o755, stamp: stamp,
		},
		"no binary": {
			reason: "a stamp alone is no program",
			stamp:  stamp, want: "not built yet",
		},
		"not executable": {
			reason: "envtest could not start it",
			binary: 0o644, stamp: stamp, want: "not built yet",
		},
		"no stamp": {
			reason: "a binary that was copied there by hand may be anything",
			binary: 0o755, want: "nothing tells what it was built from",
		},
		"other Go": {
			reason: "a new compiler builds another program, and the developer is told why it takes minutes",
			binary: 0o755, stamp: newStamp("version", "v1.36.3", "go", "go1.26.7"),
			want: `go changed (was "go1.26.7", is "go1.26.8")`,
		},
		"old form": {
			reason: "a key that the stamp did not have before",
			binary: 0o755, stamp: newStamp("version", "v1.36.3"),
			want: `go changed (was "", is "go1.26.8")`,
		},
		"newer form": {
			reason: "a stamp of a later version of this command is not ours to judge",
			binary: 0o755, stamp: stamp + newStamp("more", "x"),
			want: "its stamp has lines that nothing accounts for",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			plan := Plan{Binary: Binary{Name: "etcd"}, Stamp: stamp}
			if tc.binary != 0 {
				write(t, filepath.Join(folder, "etcd"), "", tc.binary)
			}
			if tc.stamp != "" {
				write(t, plan.stampFile(folder), string(tc.stamp), 0o644)
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

func TestInstall(t *testing.T) {
	folder, built := t.TempDir(), filepath.Join(t.TempDir(), "etcd")
	plan := Plan{Binary: Binary{Name: "etcd"}, Stamp: newStamp("version", "new")}
	write(t, filepath.Join(folder, "etcd"), "old", 0o755)
	write(t, plan.stampFile(folder), "version old\n", 0o644)
	write(t, built, "new", 0o755)

	if err := plan.Install(built, folder); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(folder, "etcd"))
	if err != nil || string(content) != "new" {
		t.Errorf("the binary holds %q, %v; want what was built", content, err)
	}
	if reason, err := plan.Stale(folder); reason != "" || err != nil {
		t.Errorf("Stale = %q, %v after Install; want it current", reason, err)
	}
}

func TestInstallStoppedHalfWay(t *testing.T) {
	folder := t.TempDir()
	plan := Plan{Binary: Binary{Name: "etcd"}, Stamp: newStamp("version", "new")}
	write(t, filepath.Join(folder, "etcd"), "old", 0o755)
	write(t, plan.stampFile(folder), "version old\n", 0o644)

	if err := plan.Install(filepath.Join(folder, "missing"), folder); err == nil {
		t.Fatal("Install of a missing file succeeded")
	}
	reverted := Plan{Binary: plan.Binary, Stamp: "version old\n"}
	if reason, _ := reverted.Stale(folder); reason == "" {
		t.Error("the old stamp outlived the binary's replacement: a reverted pin would reuse the wrong binary")
	}
}

func TestNewPlan(t *testing.T) {
	modules := t.TempDir()
	b := Binary{Name: "demo", Folder: "demo", Module: "example.com/demo", Package: "example.com/demo/cmd"}
	dir := filepath.Join(modules, "demo")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "go.mod"), "module m\n\ngo 1.26.0\n\nrequire example.com/demo v1.2.3\n", 0o644)
	write(t, filepath.Join(dir, "go.sum"), "a\n", 0o644)

	before := mustPlan(t, modules, b)
	if before.Version != "v1.2.3" || before.Dir != dir {
		t.Errorf("NewPlan = version %q in %q; want what go.mod requires", before.Version, before.Dir)
	}
	for _, key := range []string{"package", "version v1.2.3", "platform", "go go1.", "flags", "go.mod", "go.sum"} {
		if !strings.Contains("\n"+string(before.Stamp), "\n"+key) {
			t.Errorf("the stamp lacks %q, so that a change of it would go unseen:\n%s", key, before.Stamp)
		}
	}
	if again := mustPlan(t, modules, b); again.Stamp != before.Stamp {
		t.Errorf("the stamp is not stable: %s", again.Stamp.difference(before.Stamp))
	}

	write(t, filepath.Join(dir, "go.sum"), "b\n", 0o644)
	if got := mustPlan(t, modules, b).Stamp.difference(before.Stamp); !strings.HasPrefix(got, "go.sum changed") {
		t.Errorf("difference = %q; want it to name go.sum: a dependency may have moved alone", got)
	}

	b.Module = "example.com/other"
	if _, err := NewPlan(t.Context(), modules, b); err == nil {
		t.Error("NewPlan succeeded for a module that is not required")
	}
}

func mustPlan(t *testing.T, modules string, b Binary) Plan {
	t.Helper()
	plan, err := NewPlan(t.Context(), modules, b)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
