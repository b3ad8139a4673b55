// SPDX-License-Identifier: Apache-2.0

package assets

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/build"
)

// fixture is a Finder with fake builds and downloads.
type fixture struct {
	*Finder
	mu     sync.Mutex
	built  []string
	logged []string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	t.Setenv(FolderEnv, "")
	f := &fixture{}
	f.Finder = &Finder{
		programs: build.Programs(),
		modules:  newModules(t),
		bin:      t.TempDir(),
		log:      func(line string) { f.mu.Lock(); defer f.mu.Unlock(); f.logged = append(f.logged, line) },
		build: func(plan build.Plan, _ context.Context, folder string, _ func(string)) error {
			return f.install(plan, folder)
		},
	}
	return f
}

var versions = map[string]string{"etcd": "v3.6.8", "kube-apiserver": "v1.36.3", "kubectl": "v1.36.3"}

// newModules creates the modules that pin the programs.
func newModules(t *testing.T) string {
	t.Helper()
	modules := t.TempDir()
	for _, b := range build.Programs() {
		dir := filepath.Join(modules, b.Folder)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "go.mod"), "module m\n\ngo 1.26.0\n\nrequire "+b.Module+" "+versions[b.Name]+"\n", 0o644)
		write(t, filepath.Join(dir, "go.sum"), "", 0o644)
	}
	return modules
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// install is a fake build.
func (f *fixture) install(plan build.Plan, folder string) error {
	f.mu.Lock()
	f.built = append(f.built, plan.Name)
	f.mu.Unlock()
	work, err := build.WorkFolder(folder, 0)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	built := filepath.Join(work, plan.Name)
	if err := os.WriteFile(built, nil, 0o755); err != nil {
		return err
	}
	return plan.Install(built, folder)
}

var all = []string{"etcd", "kube-apiserver", "kubectl"}

var sourceTests = map[string]struct {
	reason   string
	env      []string // programs in the folder KUBEBUILDER_ASSETS; not set if nil
	download []string // programs of an earlier download
	want     string   // env, downloaded or built
	built    []string
	logs     string
}{
	"nothing":               {reason: "a fresh clone builds all programs", want: "built", built: all},
	"environment":           {reason: "KUBEBUILDER_ASSETS takes precedence", env: all, download: all, want: "env"},
	"environment lacks one": {reason: "envtest would fail with this folder", env: []string{"etcd"}, want: "built", built: all, logs: "does not contain kube-apiserver and kubectl"},
	"downloaded":            {reason: "it is downloaded once", download: all, want: "downloaded"},
	"download lacks one":    {reason: "an incomplete download is not used", download: []string{"etcd"}, want: "built", built: all, logs: "the control plane is built, because it can't be downloaded"},
}

func TestGet_PrefersExistingBinaries(t *testing.T) {
	for name, tc := range sourceTests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.prebuilt = newFakePrebuilt(t, "http://127.0.0.1:1/index.yaml", f.log)
			folders := map[string]string{"built": filepath.Join(f.bin, "v1.36.3"), "downloaded": f.prebuilt.folder("1.36.1")}
			if tc.env != nil {
				folders["env"] = t.TempDir()
				install(t, folders["env"], tc.env...)
				t.Setenv(FolderEnv, folders["env"])
			}
			if tc.download != nil {
				install(t, folders["downloaded"], tc.download...)
			}
			firsts := 0
			got, err := f.Get(t.Context(), func(context.Context) error { firsts++; return nil })
			if err != nil || got != folders[tc.want] || firsts != 1 {
				t.Errorf("Get = %q, %v, and called first %d times; want the %s folder %q, and 1: %s", got, err, firsts, tc.want, folders[tc.want], tc.reason)
			}
			if !slices.Equal(f.built, tc.built) {
				t.Errorf("built %q; want %q: %s", f.built, tc.built, tc.reason)
			}
			if log := strings.Join(f.logged, "\n"); !strings.Contains(log, tc.logs) {
				t.Errorf("logged %q; want %q: %s", log, tc.logs, tc.reason)
			}
			if path, err := f.Path(t.Context()); err != nil || path != got {
				t.Errorf("Path = %q, %v; want the folder that Get returned", path, err)
			}
		})
	}
}

// install creates programs in a folder.
func install(t *testing.T, folder string, names ...string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		write(t, filepath.Join(folder, name), "", 0o755)
	}
}

func none(context.Context) error { return nil }

func TestGet_BuildsNothingIfFirstFails(t *testing.T) {
	f := newFixture(t)
	failure := errors.New("the controller does not compile")
	if _, err := f.Get(t.Context(), func(context.Context) error { return failure }); !errors.Is(err, failure) || len(f.built) > 0 {
		t.Errorf("Get = %v, built %q; want the error of first, and nothing built", err, f.built)
	}
}

// make run needs no kubectl: make test builds it later, and reuses the other programs.
func TestGet_BuildsSelectedPrograms(t *testing.T) {
	f := newFixture(t)
	f.programs = build.ControlPlane()
	run, err := f.Get(t.Context(), none)
	f.programs = build.Programs()
	test, err2 := f.Get(t.Context(), none)
	if err := errors.Join(err, err2); err != nil || run != test || !slices.Equal(f.built, all) {
		t.Errorf("Get = %q and %q, %v, built %q; want one folder, and each program built once", run, test, err, f.built)
	}
}

// An older folder has no kubectl: it is built, and the other programs are reused.
func TestBuild_RebuildsChangedAndMissingPrograms(t *testing.T) {
	f := newFixture(t)
	build := func() string {
		folder, err := f.Get(t.Context(), none)
		if err != nil {
			t.Fatal(err)
		}
		return folder
	}
	build()
	folder := build()
	write(t, filepath.Join(f.modules, "etcd", "go.sum"), "changed\n", 0o644)
	if _, err := f.Path(t.Context()); err == nil || !strings.Contains(err.Error(), "etcd: go.sum changed") {
		t.Errorf("Path = %v; want an error that etcd is out of date", err)
	}
	build()
	for _, name := range []string{"kubectl", "kubectl.stamp"} {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	build()
	if want := append(slices.Clone(all), "etcd", "kubectl"); !slices.Equal(f.built, want) {
		t.Errorf("built %q; want %q: other programs are reused", f.built, want)
	}
}

func TestBuild_RunsOnceForParallelCallers(t *testing.T) {
	f := newFixture(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := f.Get(t.Context(), none); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !slices.Equal(f.built, all) {
		t.Errorf("built %q; want %q: callers that waited use the result", f.built, all)
	}
}

func TestPath_BuildsNothing(t *testing.T) {
	f := newFixture(t)
	_, err := f.Path(t.Context())
	if err == nil || !strings.Contains(err.Error(), "make controlplane") {
		t.Errorf("Path = %v; want an error that names the make target", err)
	}
	if len(f.built) > 0 {
		t.Errorf("Path built %q", f.built)
	}
}
