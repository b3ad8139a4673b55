// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// Folders of the world: a clone of this repository, and beside it one that flux
// bootstrap made.
const (
	clone = "image-reflector-controller"
	fleet = "fleet"
)

// tagsOfReadme are those that the example of the README speaks of.
var tagsOfReadme = []string{"5.2.1", "6.0.0", "6.1.0-rc.1", "latest"}

// furnish makes what guides speak of: the example of the README, and an app in
// a namespace of its own.
func (w *world) furnish() {
	w.t.Helper()
	for _, tag := range tagsOfReadme {
		w.push("stefanprodan/podinfo:" + tag)
	}
	for _, tag := range []string{"1.0.0", "1.2.0", "latest"} {
		w.push("org/webapp:" + tag)
	}
	w.shown(pageAt(w.t, "README.md"), clone)
	w.write(clone+"/tags.txt", strings.Join(tagsOfReadme, "\n"))
	webapp := w.standsFor.Replace(content(w.t, testdata+"webapp.yaml"))
	w.write("webapp.yaml", webapp)
	w.write(clone+"/clusters/prod/webapp.yaml", webapp) // the file that the guide to explain guards
	w.kubectl("create", "namespace", "apps")
	w.kubectl("apply", "-f", filepath.Join(clone, "podinfo.yaml"), "-f", "webapp.yaml")
	w.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "imagerepository/podinfo", "imagepolicy/podinfo")
	w.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "-n", "apps", "imagerepository/webapp", "imagepolicy/webapp")
}

// signing gives the reader, who signs images, a public key.
func signing(w *world) { w.write(clone+"/cosign.pub", content(w.t, testdata+"cosign.pub")) }

// testdata is below the root of the repository.
const testdata = "internal/test/docs/testdata/"

func (w *world) push(reference string) {
	w.t.Helper()
	content, err := testenv.Image(reference)
	w.must(err)
	_, err = w.registry.Push(w.t.Context(), reference, content)
	w.must(err)
}

// kubectl does what a guide leaves to somebody else.
func (w *world) kubectl(args ...string) { w.tool("", "kubectl", args...) }

// tool runs a program of the reader's PATH in a folder of the world, and returns
// what it prints.
func (w *world) tool(dir, name string, args ...string) string {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "env", append([]string{name}, args...)...)
	cmd.Dir, cmd.Env = filepath.Join(w.dir, dir), w.env
	output, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
	return string(output)
}

func bootstrapped(w *world) {
	w.t.Helper()
	w.write(fleet+"/flux-system/gotk-components.yaml", content(w.t, "internal/test/api/testdata/flux/gotk-components.yaml"))
	w.tool(fleet, "bash", "-ec", content(w.t, testdata+"bootstrap.sh"))
}

// reconciled does what Flux does of what was pushed, and then the controllers of
// Kubernetes.
func reconciled(w *world) {
	w.t.Helper()
	w.tool("", "git", "clone", "-q", "origin.git", "pulled")
	w.kubectl("apply", "--server-side", "--force-conflicts", "-k", "pulled/flux-system")
	rolledOut("flux-system")(w)
}

// rolledOut does what the controllers of Kubernetes do, of which none runs here:
// it says that the Pods of a Deployment are there.
func rolledOut(namespace string) func(*world) {
	return func(w *world) {
		w.t.Helper()
		w.kubectl("-n", namespace, "patch", "deployment", "image-reflector-controller", "--subresource=status", "--type=merge",
			"-p", `{"status":{"observedGeneration":99,"replicas":1,"updatedReplicas":1,"readyReplicas":1,"availableReplicas":1}}`)
	}
}

// operated is a cluster with the Prometheus Operator.
func operated(w *world) {
	w.t.Helper()
	w.kubectl("apply", "-f", filepath.Join(root(w.t), testdata, "operator.yaml"))
	w.kubectl("wait", "--for=condition=Established", "--all", "crd")
}

func renamed(w *world) { w.tool(clone, "bash", "-ec", content(w.t, testdata+"release.sh")) }

// alone leaves the cluster to the controller that the reader starts.
func alone(w *world) { w.must(w.controller.Stop()) }

// plugged calls the plugin as kubectl finds it, and has kubectl complete it.
func plugged(w *world) {
	w.t.Helper()
	for command, want := range map[string]string{
		"kubectl imagepolicy explain webapp -n apps":           "Status      1.2.0, as selected",
		`kubectl __complete imagepolicy explain -n apps ""`:    "webapp",
		"kubectl plugin list":                                  "local/bin/kubectl-imagepolicy",
		"flux-imagepolicy explain webapp -n apps --top 0":      "Selected    1.2.0 ",
		"bash -n local/completion/flux-imagepolicy && echo ok": "ok",
	} {
		if printed := w.tool("", "bash", "-c", command); !strings.Contains(printed, want) {
			w.t.Errorf("%s: want %q in\n%s", command, want, printed)
		}
	}
}

// sharded has two Deployments, each with Pods and objects of its own.
func sharded(w *world) {
	w.t.Helper()
	const fields = "{.spec.selector.matchLabels.app} {.spec.template.metadata.labels.app} {.spec.template.spec.serviceAccountName} " +
		"{.spec.template.spec.containers[0].args}"
	for name, objects := range map[string]string{
		"image-reflector-controller":        "!sharding.fluxcd.io/key",
		"image-reflector-controller-shard1": "sharding.fluxcd.io/key=shard1",
	} {
		got := w.tool("", "kubectl", "-n", "image-reflector-system", "get", "deployment", name, "-o", "jsonpath="+fields)
		want := fmt.Sprintf(`^%[1]s %[1]s image-reflector-controller .*"--enable-leader-election".*"--watch-label-selector=%[2]s"`, name, objects)
		if !regexp.MustCompile(want).MatchString(got) {
			w.t.Errorf("the Deployment %s is %s, want %s", name, got, want)
		}
	}
}
