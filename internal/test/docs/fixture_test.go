// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// world is where readers of the guides stand: a clone of this repository, a
// cluster in which the controller runs, and a registry.
type world struct {
	t          *testing.T
	dir        string
	plane      *testenv.ControlPlane
	registry   *testenv.Registry
	controller *testenv.Controller
	env        []string
	// standsFor says what is put in place of what guides can't know.
	standsFor *strings.Replacer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	binaries, err := testenv.BinariesFromEnv()
	w := &world{t: t}
	w.must(err)
	w.dir, err = filepath.EvalSymlinks(t.TempDir()) // as kustomize sees it
	w.must(err)
	w.plane = startPlane(t)
	w.registry = &testenv.Registry{Binary: binaries.Registry, Dir: w.path("registry")}
	w.must(w.registry.Start(t.Context()))
	t.Cleanup(func() { w.must(w.registry.Stop()) })
	kubeconfig, err := w.plane.ControllerAccount(t.Context(), filepath.Join(root(t), "config/rbac/role.yaml"))
	w.must(err)
	w.controller = &testenv.Controller{Binary: binaries.Controller, Dir: w.path("controller"), Kubeconfig: kubeconfig}
	w.must(w.controller.Start(t.Context()))
	t.Cleanup(func() { w.must(w.controller.Stop()) })
	w.env = w.environment(binaries)
	w.clone(binaries)
	w.standsFor = strings.NewReplacer(
		"ghcr.io", w.registry.Host(),
		"registry.example.com", w.registry.Host(),
		"/usr/local/bin", w.path("local/bin"),
		"/etc/bash_completion.d", w.path("local/completion"),
	)
	w.furnish()
	return w
}

// startPlane starts a control plane with the CRDs.
func startPlane(t *testing.T) *testenv.ControlPlane {
	t.Helper()
	g := NewWithT(t)
	assets := os.Getenv(testenv.AssetsVariable)
	g.Expect(assets).NotTo(BeEmpty(), "%s is not set, and this test needs a control plane: run make test", testenv.AssetsVariable)
	plane := &testenv.ControlPlane{Assets: assets, Dir: t.TempDir(), CRDs: []string{filepath.Join(root(t), "config/crd/bases")}}
	g.Expect(plane.Start(t.Context())).To(Succeed())
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	return plane
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// in is the same world, as a test within the test sees it.
func (w *world) in(t *testing.T) *world {
	t.Helper()
	mine := *w
	mine.t = t
	return &mine
}

// path is below the folder of the world. A folder is made for it.
func (w *world) path(name string) string {
	file := filepath.Join(w.dir, name)
	w.must(os.MkdirAll(filepath.Dir(file), 0o700))
	return file
}

// copyFiles copies what git has, and what it does not ignore, with the times that make
// goes by. What is deleted and not yet committed is left out.
const copyFiles = `git ls-files -z --cached --others --exclude-standard |
	while IFS= read -r -d '' file; do if [ -e "$file" ]; then printf '%%s\0' "$file"; fi; done |
	tar -c --null -T - -f - | tar -x -C %q`

// clone copies the repository. Tools that are built already are not built again.
func (w *world) clone(binaries testenv.Binaries) {
	w.t.Helper()
	w.must(os.MkdirAll(w.path(clone+"/bin"), 0o700))
	output(w.t, "bash", "-c", fmt.Sprintf(copyFiles, w.path(clone)))
	w.must(os.Symlink(binaries.Registry, w.path(clone+"/bin/registry")))
	for _, tool := range []string{"bin/kustomize", "bin/registry-v2"} { // a link to what is not there is as good as none to make
		w.must(os.Symlink(filepath.Join(root(w.t), tool), w.path(clone+"/"+tool)))
	}
}

// environment is that of a reader who has kubectl and kustomize, and the caches of
// Go of the user who runs the tests, but no other file of their home.
func (w *world) environment(binaries testenv.Binaries) []string {
	w.t.Helper()
	for _, dir := range []string{"local/bin", "local/completion", "home"} {
		w.must(os.MkdirAll(w.path(dir), 0o700))
	}
	w.must(os.Symlink(filepath.Join(binaries.Assets, "kubectl"), w.path("tools/kubectl")))
	w.must(os.Symlink(filepath.Join(w.dir, clone, "bin/kustomize"), w.path("tools/kustomize")))
	env := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "MAKE") || strings.HasPrefix(variable, "MFLAGS") // of the make that runs the tests
	})
	for _, name := range []string{"GOENV", "GOCACHE", "GOMODCACHE", "GOPATH"} {
		env = append(env, name+"="+strings.TrimSpace(output(w.t, "go", "env", name)))
	}
	return append(env,
		"PATH="+w.path("local/bin")+":"+w.path("tools")+":"+os.Getenv("PATH"),
		"HOME="+w.path("home"),
		"KUBECONFIG="+w.plane.Kubeconfig(),
		testenv.AssetsVariable+"="+binaries.Assets,
		"CGO_ENABLED=0",
		"PASSWORD=secret",
		"GIT_AUTHOR_NAME=Reader", "GIT_AUTHOR_EMAIL=reader@example.com",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_COMMITTER_NAME=Reader", "GIT_COMMITTER_EMAIL=reader@example.com",
		// For one architecture: the other one takes minutes where nothing is built yet.
		"ARCHITECTURES="+runtime.GOARCH,
		// On ports that are free: others may have those of make run-local.
		"RUN_LOCAL_ARGS=--storage-path="+w.path("local/store")+" --metrics-addr=127.0.0.1:0 --health-addr=127.0.0.1:0 --log-encoding=console",
	)
}

// write writes a file below the folder of the world.
func (w *world) write(name, content string) {
	w.t.Helper()
	write(w.t, w.path(name), content)
}

var (
	// namedFile is the first line of a block that is a file of the commands.
	namedFile = regexp.MustCompile(`^# ([a-z-]+\.yaml)\n`)
	// fileName is the line in front of a block that says which file the block is.
	fileName = regexp.MustCompile("^`(\\S+)`:$")
)

// shown writes the files that a page shows into a folder.
func (w *world) shown(p page, dir string) {
	w.t.Helper()
	for _, b := range p.blocks() {
		m := namedFile.FindStringSubmatch(b.text)
		if m == nil {
			m = fileName.FindStringSubmatch(p.lines[max(0, b.line-3)])
		}
		if m != nil {
			w.write(filepath.Join(dir, m[1]), w.standsFor.Replace(b.text))
		}
	}
}
