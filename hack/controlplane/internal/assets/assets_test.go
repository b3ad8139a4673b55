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

// world is a Finder whose builds and downloads are made up.
type world struct {
	*Finder
	mu     sync.Mutex
	built  []string
	logged []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Setenv(folderEnv, "")
	t.Setenv(prebuiltEnv, "")
	w := &world{}
	w.Finder = &Finder{
		modules: pins(t),
		bin:     t.TempDir(),
		log:     func(line string) { w.mu.Lock(); defer w.mu.Unlock(); w.logged = append(w.logged, line) },
		build: func(plan build.Plan, _ context.Context, folder string, _ func(string)) error {
			return w.install(plan, folder)
		},
		download: func(context.Context, string, bool) (string, error) {
			return "", errors.New("no network")
		},
	}
	return w
}

var versions = map[string]string{"etcd": "v3.6.8", "kube-apiserver": "v1.36.3", "kubectl": "v1.36.3"}

// pins makes the modules that pin the binaries.
func pins(t *testing.T) string {
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

// install is a build that takes no time.
func (w *world) install(plan build.Plan, folder string) error {
	w.mu.Lock()
	w.built = append(w.built, plan.Name)
	w.mu.Unlock()
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

// readyMade makes a folder as setup-envtest does.
func readyMade(t *testing.T, names ...string) string {
	t.Helper()
	folder := t.TempDir()
	for _, name := range names {
		write(t, filepath.Join(folder, name), "", 0o755)
	}
	return folder
}

var all = []string{"etcd", "kube-apiserver", "kubectl"}

var orders = map[string]struct {
	reason   string
	named    []string // what the folder named by KUBEBUILDER_ASSETS holds; not set where nil
	prebuilt string
	download []string // what a download brings; it fails where nil
	want     string   // named, downloaded or built
	built    []string
	logs     string
}{
	"nothing there":          {reason: "a fresh clone builds all of them", want: "built", built: all},
	"named folder":           {reason: "a folder that is named is used", named: all, prebuilt: "1", download: all, want: "named"},
	"named folder lacks one": {reason: "envtest would fail to start with it", named: []string{"etcd"}, want: "built", built: all, logs: "does not hold kube-apiserver and kubectl"},
	"download asked for":     {reason: "ready-made binaries spare the build", prebuilt: "1", download: all, want: "downloaded"},
	"download not asked for": {reason: "nothing is fetched from elsewhere unless it is asked for", download: all, want: "built", built: all},
	"download fails":         {reason: "a machine without that server still gets a control plane", prebuilt: "1", want: "built", built: all, logs: "no prebuilt programs: no network"},
	"download lacks one":     {reason: "an archive without the API server is no control plane", prebuilt: "1", download: []string{"etcd"}, want: "built", built: all, logs: "does not hold"},
}

func TestBuild_PrefersExistingBinaries(t *testing.T) {
	for name, tc := range orders {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			folders := map[string]string{"built": filepath.Join(w.bin, "v1.36.3")}
			if tc.named != nil {
				folders["named"] = readyMade(t, tc.named...)
				t.Setenv(folderEnv, folders["named"])
			}
			if tc.download != nil {
				folders["downloaded"] = readyMade(t, tc.download...)
				w.download = func(context.Context, string, bool) (string, error) { return folders["downloaded"], nil }
			}
			t.Setenv(prebuiltEnv, tc.prebuilt)

			got, err := w.Find(t.Context(), true)
			if err != nil || got != folders[tc.want] {
				t.Errorf("Build = %q, %v; want the %s folder %q: %s", got, err, tc.want, folders[tc.want], tc.reason)
			}
			if !slices.Equal(w.built, tc.built) {
				t.Errorf("built %q; want %q: %s", w.built, tc.built, tc.reason)
			}
			if log := strings.Join(w.logged, "\n"); !strings.Contains(log, tc.logs) {
				t.Errorf("logged %q; want %q: %s", log, tc.logs, tc.reason)
			}
			if path, err := w.Find(t.Context(), false); err != nil || path != got {
				t.Errorf("Path = %q, %v; want the folder that Build made ready", path, err)
			}
		})
	}
}

// A folder of the time when there was no kubectl gets one, and keeps what took minutes.
func TestBuild_RebuildsChangedAndMissingPrograms(t *testing.T) {
	w := newWorld(t)
	build := func() string {
		folder, err := w.Find(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		return folder
	}
	build()
	folder := build()
	write(t, filepath.Join(w.modules, "etcd", "go.sum"), "changed\n", 0o644)
	if _, err := w.Find(t.Context(), false); err == nil || !strings.Contains(err.Error(), "etcd: go.sum changed") {
		t.Errorf("Path = %v; want it to say that etcd is out of date", err)
	}
	build()
	for _, name := range []string{"kubectl", "kubectl.stamp"} {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	build()
	if want := append(slices.Clone(all), "etcd", "kubectl"); !slices.Equal(w.built, want) {
		t.Errorf("built %q; want %q: the API server takes minutes", w.built, want)
	}
}

func TestBuild_RunsOnceForParallelCallers(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := w.Find(t.Context(), true); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !slices.Equal(w.built, all) {
		t.Errorf("built %q; want %q: whoever waited finds the work done", w.built, all)
	}
}

func TestPath_BuildsNothing(t *testing.T) {
	w := newWorld(t)
	_, err := w.Find(t.Context(), false)
	if err == nil || !strings.Contains(err.Error(), "make controlplane") {
		t.Errorf("Path = %v; want it to say how to get the binaries", err)
	}
	if len(w.built) > 0 {
		t.Errorf("Path built %q", w.built)
	}
}

func TestMinor_MatchesAnyPatchRelease(t *testing.T) {
	cases := map[string]struct{ reason, version, want string }{
		"release":   {"any patch version will do", "v1.36.3", "1.36.x"},
		"candidate": {"candidates are not published as binaries", "v1.37.0-rc.1", "1.37.x"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := minor(tc.version); got != tc.want {
				t.Errorf("minor(%q) = %q; want %q: %s", tc.version, got, tc.want, tc.reason)
			}
		})
	}
}
