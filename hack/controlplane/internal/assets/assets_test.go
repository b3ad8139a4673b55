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
	t.Setenv(folderEnv, "")
	t.Setenv(prebuiltEnv, "")
	f := &fixture{}
	f.Finder = &Finder{
		modules: newModules(t),
		bin:     t.TempDir(),
		log:     func(line string) { f.mu.Lock(); defer f.mu.Unlock(); f.logged = append(f.logged, line) },
		build: func(plan build.Plan, _ context.Context, folder string, _ func(string)) error {
			return f.install(plan, folder)
		},
		download: func(context.Context, string, bool) (string, error) {
			return "", errors.New("no network")
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
	work, err := os.MkdirTemp(folder, ".unfinished-")
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

// prebuilt creates a folder with programs, as setup-envtest does.
func prebuilt(t *testing.T, names ...string) string {
	t.Helper()
	folder := t.TempDir()
	for _, name := range names {
		write(t, filepath.Join(folder, name), "", 0o755)
	}
	return folder
}

var all = []string{"etcd", "kube-apiserver", "kubectl"}

var sourceTests = map[string]struct {
	reason   string
	env      []string // programs in the folder KUBEBUILDER_ASSETS; not set if nil
	prebuilt string
	download []string // downloaded programs; the download fails if nil
	want     string   // env, downloaded or built
	built    []string
	logs     string
}{
	"nothing":               {reason: "a fresh clone builds all programs", want: "built", built: all},
	"environment":           {reason: "KUBEBUILDER_ASSETS takes precedence", env: all, prebuilt: "1", download: all, want: "env"},
	"environment lacks one": {reason: "envtest would fail with this folder", env: []string{"etcd"}, want: "built", built: all, logs: "does not contain kube-apiserver and kubectl"},
	"download enabled":      {reason: "a download replaces the build", prebuilt: "1", download: all, want: "downloaded"},
	"download disabled":     {reason: "nothing is downloaded by default", download: all, want: "built", built: all},
	"download fails":        {reason: "the build is the fallback", prebuilt: "1", want: "built", built: all, logs: "no prebuilt programs: no network"},
	"download lacks one":    {reason: "an incomplete download is not used", prebuilt: "1", download: []string{"etcd"}, want: "built", built: all, logs: "does not contain"},
}

func TestBuild_PrefersExistingBinaries(t *testing.T) {
	for name, tc := range sourceTests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			folders := map[string]string{"built": filepath.Join(f.bin, "v1.36.3")}
			if tc.env != nil {
				folders["env"] = prebuilt(t, tc.env...)
				t.Setenv(folderEnv, folders["env"])
			}
			if tc.download != nil {
				folders["downloaded"] = prebuilt(t, tc.download...)
				f.download = func(context.Context, string, bool) (string, error) { return folders["downloaded"], nil }
			}
			t.Setenv(prebuiltEnv, tc.prebuilt)

			got, err := f.Find(t.Context(), true)
			if err != nil || got != folders[tc.want] {
				t.Errorf("Find = %q, %v; want the %s folder %q: %s", got, err, tc.want, folders[tc.want], tc.reason)
			}
			if !slices.Equal(f.built, tc.built) {
				t.Errorf("built %q; want %q: %s", f.built, tc.built, tc.reason)
			}
			if log := strings.Join(f.logged, "\n"); !strings.Contains(log, tc.logs) {
				t.Errorf("logged %q; want %q: %s", log, tc.logs, tc.reason)
			}
			if path, err := f.Find(t.Context(), false); err != nil || path != got {
				t.Errorf("Find without build = %q, %v; want the folder of the build", path, err)
			}
		})
	}
}

// An older folder has no kubectl: it is built, and the other programs are reused.
func TestBuild_RebuildsChangedAndMissingPrograms(t *testing.T) {
	f := newFixture(t)
	build := func() string {
		folder, err := f.Find(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		return folder
	}
	build()
	folder := build()
	write(t, filepath.Join(f.modules, "etcd", "go.sum"), "changed\n", 0o644)
	if _, err := f.Find(t.Context(), false); err == nil || !strings.Contains(err.Error(), "etcd: go.sum changed") {
		t.Errorf("Find without build = %v; want an error that etcd is out of date", err)
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
			if _, err := f.Find(t.Context(), true); err != nil {
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
	_, err := f.Find(t.Context(), false)
	if err == nil || !strings.Contains(err.Error(), "make controlplane") {
		t.Errorf("Find without build = %v; want an error that names the make target", err)
	}
	if len(f.built) > 0 {
		t.Errorf("Find without build built %q", f.built)
	}
}

func TestMinor_MatchesAnyPatchRelease(t *testing.T) {
	cases := map[string]struct{ reason, version, want string }{
		"release":   {"any patch version is fine", "v1.36.3", "1.36.x"},
		"candidate": {"candidates are not published", "v1.37.0-rc.1", "1.37.x"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := minor(tc.version); got != tc.want {
				t.Errorf("minor(%q) = %q; want %q: %s", tc.version, got, tc.want, tc.reason)
			}
		})
	}
}
