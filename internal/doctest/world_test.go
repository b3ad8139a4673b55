// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
)

// world is where readers of the guides stand: a clone of this repository, a
// cluster in which the controller runs, and a registry.
type world struct {
	t          *testing.T
	dir        string
	plane      *stage.ControlPlane
	registry   *stage.Registry
	controller *stage.Controller
	api        client.Client
	env        []string
	// standsFor says what is put in place of what guides can't know.
	standsFor *strings.Replacer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	binaries, err := stage.BinariesFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: resolved(t, t.TempDir())}
	w.plane = &stage.ControlPlane{Assets: binaries.Assets, Dir: w.path("controlplane"), CRDs: []string{filepath.Join(root(t), "config/crd/bases")}}
	w.must(w.plane.Start(t.Context()))
	t.Cleanup(func() { w.must(w.plane.Stop()) })
	w.registry = &stage.Registry{Binary: binaries.Registry, Dir: w.path("registry")}
	w.must(w.registry.Start(t.Context()))
	t.Cleanup(func() { w.must(w.registry.Stop()) })
	kubeconfig, err := w.plane.ControllerAccount(t.Context(), filepath.Join(root(t), "config/rbac/role.yaml"))
	w.must(err)
	w.controller = &stage.Controller{Binary: binaries.Controller, Dir: w.path("controller"), Kubeconfig: kubeconfig, Args: []string{"--log-encoding=json"}}
	w.must(w.controller.Start(t.Context()))
	t.Cleanup(func() { w.must(w.controller.Stop()) })
	w.api, err = client.New(w.plane.Config(), client.Options{})
	w.must(err)
	w.clone(binaries)
	w.env = w.environment(binaries)
	w.standsFor = strings.NewReplacer(
		"ghcr.io", w.registry.Host(),
		"registry.example.com", w.registry.Host(),
		"/usr/local/bin", w.path("local/bin"),
		"/etc/bash_completion.d", w.path("local/completion"),
	)
	w.furnish()
	return w
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

// clone copies what git knows, and what it does not ignore, with the times that
// make goes by. Tools that are built already are not built again.
func (w *world) clone(binaries stage.Binaries) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root(w.t)
	listed, err := cmd.Output()
	w.must(err)
	for file := range strings.SplitSeq(strings.Trim(string(listed), "\x00"), "\x00") {
		w.copy(filepath.Join(root(w.t), file), filepath.Join(w.dir, clone, file))
	}
	w.must(os.Symlink(binaries.Registry, w.path(clone+"/bin/registry")))
	for _, tool := range []string{"bin/kustomize", "bin/registry-v2"} {
		if built := filepath.Join(root(w.t), tool); exists(built) {
			w.must(os.Symlink(built, w.path(clone+"/"+tool)))
		}
	}
}

func (w *world) copy(from, to string) {
	w.t.Helper()
	info, err := os.Stat(from)
	if os.IsNotExist(err) { // deleted, and not yet committed
		return
	}
	w.must(err)
	content, err := os.ReadFile(from)
	w.must(err)
	w.must(os.MkdirAll(filepath.Dir(to), 0o700))
	w.must(os.WriteFile(to, content, info.Mode().Perm()))
	w.must(os.Chtimes(to, info.ModTime(), info.ModTime()))
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// environment is that of a reader who has kubectl and kustomize, and nothing of
// whoever runs the tests but the caches of Go.
func (w *world) environment(binaries stage.Binaries) []string {
	w.t.Helper()
	kubectl := filepath.Join(binaries.Assets, "kubectl")
	if !exists(kubectl) {
		w.t.Fatalf("%s is missing: make controlplane builds it", kubectl)
	}
	w.must(os.MkdirAll(w.path("local/bin"), 0o700))
	w.must(os.MkdirAll(w.path("local/completion"), 0o700))
	w.must(os.MkdirAll(w.path("home"), 0o700))
	w.must(os.Symlink(kubectl, w.path("tools/kubectl")))
	w.must(os.Symlink(filepath.Join(w.dir, clone, "bin/kustomize"), w.path("tools/kustomize")))
	env := []string{
		"PATH=" + w.path("local/bin") + ":" + w.path("tools") + ":" + os.Getenv("PATH"),
		"HOME=" + w.path("home"),
		"KUBECONFIG=" + w.plane.Kubeconfig(),
		stage.AssetsVariable + "=" + binaries.Assets,
		"CGO_ENABLED=0",
		"PASSWORD=secret",
		"GIT_AUTHOR_NAME=Reader", "GIT_AUTHOR_EMAIL=reader@example.com",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_COMMITTER_NAME=Reader", "GIT_COMMITTER_EMAIL=reader@example.com",
		// For one architecture: the other one takes minutes where nothing is built yet.
		"ARCHITECTURES=" + goEnv(w.t)["GOARCH"],
		// On ports that are free: others may have those of make run-local.
		"RUN_LOCAL_ARGS=--storage-path=" + w.path("local/store") + " --metrics-addr=127.0.0.1:0 --health-addr=127.0.0.1:0 --log-encoding=console",
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if value := os.Getenv(name); value != "" { // the way to the module proxy
			env = append(env, name+"="+value)
		}
	}
	for name, value := range goEnv(w.t) {
		if value != "" && name != "GOARCH" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// goEnv is what Go would otherwise take from the home of whoever runs the tests.
func goEnv(t *testing.T) map[string]string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", "env", "-json", "GOARCH", "GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GONOPROXY",
		"GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GOINSECURE", "GOFLAGS", "GOTOOLCHAIN").Output()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	if err := json.Unmarshal(output, &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// write writes a file below the folder of the world.
func (w *world) write(name, content string) {
	w.t.Helper()
	w.must(os.MkdirAll(filepath.Dir(filepath.Join(w.dir, name)), 0o700))
	write(w.t, filepath.Join(w.dir, name), content)
}

// shown writes the files that a page shows into a folder.
func (w *world) shown(p page, dir string) {
	w.t.Helper()
	for _, b := range p.blocks() {
		if m := namedFile.FindStringSubmatch(b.text); m != nil {
			w.write(filepath.Join(dir, m[1]), w.standsFor.Replace(b.text))
		} else if m := fileName.FindStringSubmatch(p.lines[max(0, b.line-3)]); m != nil {
			w.write(filepath.Join(dir, m[1]), w.standsFor.Replace(b.text))
		}
	}
}
