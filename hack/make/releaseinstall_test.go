// SPDX-License-Identifier: Apache-2.0

package make_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

const (
	krewVariable = "KREW"
	fluxVariable = "FLUX"
)

// checkImage pushes the image from its archive to another name, and compares it with the one that
// the release pushed.
func (r *tree) checkImage(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	unpack(t, bytes.NewReader(r.read(t, controller+"_"+released+"_oci.tar")), dir)
	root, err := layout.ImageIndexFromPath(dir)
	g.Expect(err).NotTo(HaveOccurred())
	manifest, err := root.IndexManifest()
	g.Expect(err).NotTo(HaveOccurred())
	index, err := root.ImageIndex(manifest.Manifests[0].Digest)
	g.Expect(err).NotTo(HaveOccurred())
	digest, err := r.registry.Push(t.Context(), "mirror/"+controller+":v"+released, index)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.registry.Digest(t.Context(), "org/"+controller+":v"+released)).To(Equal(digest))
	for _, file := range []string{"install.yaml", controller + ".deployment.yaml"} {
		g.Expect(string(r.read(t, file))).To(ContainSubstring("image: " + r.image + ":v" + released + "@" + digest + "\n"))
	}
}

// checkInstall installs the manifests, runs the controller of the image as its Deployment does, and
// explains a policy with the plugins.
func (r *tree) checkInstall(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the program of the image runs on Linux only")
	}
	g := NewWithT(t)
	finalize(t)
	apply := exec.CommandContext(t.Context(), filepath.Join(programs.Assets, "kubectl"), "--kubeconfig", plane.Kubeconfig(),
		"apply", "--server-side", "--validate=strict", "-f", filepath.Join(r.files, "install.yaml"))
	out, err := apply.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%s", out)
	g.Expect(string(out)).NotTo(ContainSubstring("Warning"))
	defer func() {
		mustMake(t, "undeploy", "uninstall")
		finalize(t)
	}()

	container := deployment(t).Spec.Template.Spec.Containers[0]
	process := &testenv.Controller{Binary: r.pull(t, container.Image), Dir: t.TempDir(), Kubeconfig: kubeconfig(t, asAccount),
		Args: runnable(container.Args), Env: []string{"RUNTIME_NAMESPACE=" + system}}
	g.Expect(process.Start(t.Context())).To(Succeed())
	defer func() { g.Expect(process.Stop()).To(Succeed()) }()
	r.reflect(t)
	t.Run("krew", r.checkKrew)
	t.Run("flux", r.checkFlux)
}

// pull returns the program of the image for this machine.
func (r *tree) pull(t *testing.T, reference string) string {
	t.Helper()
	g := NewWithT(t)
	ref, err := name.ParseReference(reference)
	g.Expect(err).NotTo(HaveOccurred())
	image, err := remote.Image(ref, remote.WithContext(t.Context()), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	g.Expect(err).NotTo(HaveOccurred())
	config, err := image.ConfigFile()
	g.Expect(err).NotTo(HaveOccurred())
	dir, content := t.TempDir(), mutate.Extract(image)
	defer content.Close()
	unpack(t, content, dir)
	program := filepath.Join(dir, config.Config.Entrypoint[0])
	out, err := exec.CommandContext(t.Context(), program, "--version").Output()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(out)).To(HavePrefix(controller + " v" + released + " "))
	r.checkModules(t, "image-linux-"+runtime.GOARCH, program)
	return program
}

// reflect creates a policy, and waits until the controller has selected its image.
func (r *tree) reflect(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	for _, tag := range []string{"1.0.0", "1.1.0"} {
		image, err := testenv.Image(tag)
		g.Expect(err).NotTo(HaveOccurred())
		_, err = r.registry.Push(t.Context(), "app:"+tag, image)
		g.Expect(err).NotTo(HaveOccurred())
	}
	repository, policy := object{"image.toolkit.fluxcd.io/v1", "ImageRepository", "default", "app"}.empty(), object{"image.toolkit.fluxcd.io/v1", "ImagePolicy", "default", "app"}.empty()
	repository.Object["spec"] = map[string]any{"image": r.registry.Image("app"), "interval": "1h", "insecure": true}
	policy.Object["spec"] = map[string]any{"imageRepositoryRef": map[string]any{"name": "app"}, "policy": map[string]any{"semver": map[string]any{"range": "1.x"}}}
	g.Expect(cluster.Create(t.Context(), repository)).To(Succeed())
	g.Expect(cluster.Create(t.Context(), policy)).To(Succeed())
	g.Eventually(func(g Gomega) {
		g.Expect(cluster.Get(t.Context(), client.ObjectKeyFromObject(policy), policy)).To(Succeed())
		tag, _, err := unstructured.NestedString(policy.Object, "status", "latestRef", "tag")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(tag).To(Equal("1.1.0"))
	}, time.Minute).Should(Succeed())
}

// checkKrew installs the plugin by its manifest with krew, and runs it by kubectl.
func (r *tree) checkKrew(t *testing.T) {
	g := NewWithT(t)
	krew := os.Getenv(krewVariable)
	g.Expect(krew).NotTo(BeEmpty(), "%s is not set: run make test, or make bin/krew and set it to its path", krewVariable)
	dir := t.TempDir()
	env := append(os.Environ(), "KREW_ROOT="+dir, "HOME="+dir, "KUBECONFIG="+plane.Kubeconfig(),
		"PATH="+filepath.Join(dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	output(t, env, krew, "install", "--manifest="+filepath.Join(r.files, "krew.yaml"))
	installed := filepath.Join(dir, "bin", "kubectl-imagepolicy")
	r.checkPlugin(t, installed)
	g.Expect(output(t, env, filepath.Join(programs.Assets, "kubectl"), "imagepolicy", "explain", "app", "-n", "default")).
		To(And(ContainSubstring("Selected    1.1.0 "), ContainSubstring("as selected")))
	g.Expect(filepath.Glob(filepath.Join(dir, "store/imagepolicy/v"+released, "*"))).To(HaveLen(3), "the licences are installed too")
}

// checkFlux installs the plugin with flux, which reads the files of the release as its catalog.
func (r *tree) checkFlux(t *testing.T) {
	flux := os.Getenv(fluxVariable)
	if flux == "" {
		t.Skipf("%s is not set: make conformance builds flux, and runs this test", fluxVariable)
	}
	dir := t.TempDir()
	env := append(os.Environ(), "FLUXCD_PLUGINS="+dir, "FLUXCD_PLUGIN_CATALOG="+r.downloads.URL+"/", "KUBECONFIG="+plane.Kubeconfig())
	output(t, env, flux, "plugin", "install", "imagepolicy@"+released)
	r.checkPlugin(t, filepath.Join(dir, "flux-imagepolicy"))
	NewWithT(t).Expect(output(t, env, flux, "imagepolicy", "explain", "app", "-n", "default")).To(ContainSubstring("Selected    1.1.0 "))
}

// checkPlugin checks an installed plugin.
func (r *tree) checkPlugin(t *testing.T, path string) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(output(t, os.Environ(), path, "--version")).To(HavePrefix("flux-imagepolicy v" + released + " "))
	r.checkModules(t, "archive-linux-"+runtime.GOARCH, path)
}

// output runs a program, which must succeed.
func output(t *testing.T, env []string, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), "%s %q: %s", program, args, out)
	return string(out)
}

// finalize ends the deletion of the namespace, as the namespace controller does: this control
// plane runs none.
func finalize(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	namespace := &corev1.Namespace{}
	err := cluster.Get(t.Context(), client.ObjectKey{Name: system}, namespace)
	g.Expect(client.IgnoreNotFound(err)).To(Succeed())
	if err == nil && namespace.DeletionTimestamp != nil {
		namespace.Spec.Finalizers = nil
		g.Expect(cluster.SubResource("finalize").Update(t.Context(), namespace)).To(Succeed())
	}
}
