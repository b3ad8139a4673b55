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

// fixture is the environment of the guides: a clone of this repository, a cluster with a running
// controller, and a registry.
type fixture struct {
	t          *testing.T
	dir        string
	plane      *testenv.ControlPlane
	registry   *testenv.Registry
	controller *testenv.Controller
	env        []string
	// placeholders replaces the placeholders of the guides.
	placeholders *strings.Replacer
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	binaries, err := testenv.BinariesFromEnv()
	f := &fixture{t: t}
	f.must(err)
	f.dir, err = filepath.EvalSymlinks(t.TempDir()) // kustomize resolves links too
	f.must(err)
	f.plane = startPlane(t)
	f.registry = &testenv.Registry{Binary: binaries.Registry, Dir: f.path("registry")}
	f.must(f.registry.Start(t.Context()))
	t.Cleanup(func() { f.must(f.registry.Stop()) })
	kubeconfig, err := f.plane.ControllerAccount(t.Context(), filepath.Join(root(t), "config/rbac/role.yaml"))
	f.must(err)
	f.controller = &testenv.Controller{Binary: binaries.Controller, Dir: f.path("controller"), Kubeconfig: kubeconfig}
	f.must(f.controller.Start(t.Context()))
	t.Cleanup(func() { f.must(f.controller.Stop()) })
	f.env = f.environment(binaries)
	f.clone(binaries)
	f.placeholders = strings.NewReplacer(
		"ghcr.io", f.registry.Host(),
		"registry.example.com", f.registry.Host(),
		"/usr/local/bin", f.path("local/bin"),
		"/etc/bash_completion.d", f.path("local/completion"),
	)
	f.createExamples()
	return f
}

// startPlane starts a control plane with the CRDs.
func startPlane(t *testing.T) *testenv.ControlPlane {
	t.Helper()
	g := NewWithT(t)
	assets := os.Getenv(testenv.AssetsVariable)
	g.Expect(assets).NotTo(BeEmpty(), "%s is not set, but this test needs a control plane: run make test", testenv.AssetsVariable)
	plane := &testenv.ControlPlane{Assets: assets, Dir: t.TempDir(), CRDs: []string{filepath.Join(root(t), "config/crd/bases")}}
	g.Expect(plane.Start(t.Context())).To(Succeed())
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	return plane
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// forSubtest returns the fixture for a subtest.
func (f *fixture) forSubtest(t *testing.T) *fixture {
	t.Helper()
	subtest := *f
	subtest.t = t
	return &subtest
}

// path returns the absolute path of a file of the fixture, and creates its directory.
func (f *fixture) path(name string) string {
	file := filepath.Join(f.dir, name)
	f.must(os.MkdirAll(filepath.Dir(file), 0o700))
	return file
}

// copyFiles copies the files that git tracks or does not ignore, with their modification times,
// which make needs. It omits deleted files.
const copyFiles = `git ls-files -z --cached --others --exclude-standard |
	while IFS= read -r -d '' file; do if [ -e "$file" ]; then printf '%%s\0' "$file"; fi; done |
	tar -c --null -T - -f - | tar -x -C %q`

// clone copies the repository, with links to the tools that are built already.
func (f *fixture) clone(binaries testenv.Binaries) {
	f.t.Helper()
	f.must(os.MkdirAll(f.path(clone+"/bin"), 0o700))
	output(f.t, "bash", "-c", fmt.Sprintf(copyFiles, f.path(clone)))
	f.must(os.Symlink(binaries.Registry, f.path(clone+"/bin/registry")))
	for _, tool := range []string{"bin/kustomize", "bin/registry-v2"} { // make treats a dangling link like a missing file
		f.must(os.Symlink(filepath.Join(root(f.t), tool), f.path(clone+"/"+tool)))
	}
}

// environment returns the environment variables of the commands: with kubectl, kustomize and the
// Go caches of the user who runs the tests, but with a new home directory.
func (f *fixture) environment(binaries testenv.Binaries) []string {
	f.t.Helper()
	for _, dir := range []string{"local/bin", "local/completion", "home"} {
		f.must(os.MkdirAll(f.path(dir), 0o700))
	}
	f.must(os.Symlink(filepath.Join(binaries.Assets, "kubectl"), f.path("tools/kubectl")))
	f.must(os.Symlink(filepath.Join(f.dir, clone, "bin/kustomize"), f.path("tools/kustomize")))
	env := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "MAKE") || strings.HasPrefix(variable, "MFLAGS") // set by the make that runs the tests
	})
	for _, name := range []string{"GOENV", "GOCACHE", "GOMODCACHE", "GOPATH"} {
		env = append(env, name+"="+strings.TrimSpace(output(f.t, "go", "env", name)))
	}
	return append(env,
		"PATH="+f.path("local/bin")+":"+f.path("tools")+":"+os.Getenv("PATH"),
		"HOME="+f.path("home"),
		"KUBECONFIG="+f.plane.Kubeconfig(),
		testenv.AssetsVariable+"="+binaries.Assets,
		"CGO_ENABLED=0",
		"PASSWORD=secret",
		"GIT_AUTHOR_NAME=Reader", "GIT_AUTHOR_EMAIL=reader@example.com",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_COMMITTER_NAME=Reader", "GIT_COMMITTER_EMAIL=reader@example.com",
		// One architecture only, since an uncached build for the other one takes minutes.
		"ARCHITECTURES="+runtime.GOARCH,
		// Free ports, since the default ports of make run-local may be in use.
		"RUN_LOCAL_ARGS=--storage-path="+f.path("local/store")+" --metrics-addr=127.0.0.1:0 --health-addr=127.0.0.1:0 --log-encoding=console",
	)
}

// write writes a file of the fixture.
func (f *fixture) write(name, content string) {
	f.t.Helper()
	write(f.t, f.path(name), content)
}

var (
	// namedFile matches the first line of a block that is the content of a file.
	namedFile = regexp.MustCompile(`^# ([a-z-]+\.yaml)\n`)
	// fileName matches the line before a block that names its file.
	fileName = regexp.MustCompile("^`(\\S+)`:$")
)

// writeFiles writes the files that a page shows into a directory.
func (f *fixture) writeFiles(p page, dir string) {
	f.t.Helper()
	for _, b := range p.blocks() {
		m := namedFile.FindStringSubmatch(b.text)
		if m == nil {
			m = fileName.FindStringSubmatch(p.lines[max(0, b.line-3)])
		}
		if m != nil {
			f.write(filepath.Join(dir, m[1]), f.placeholders.Replace(b.text))
		}
	}
}
