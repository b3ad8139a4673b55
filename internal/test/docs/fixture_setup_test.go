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

// Directories of the fixture: a clone of this repository, and a repository as created by flux
// bootstrap.
const (
	clone = "image-reflector-controller"
	fleet = "fleet"
)

// readmeTags are the tags that the example of the README names.
var readmeTags = []string{"5.2.1", "6.0.0", "6.1.0-rc.1", "latest"}

// createExamples creates the objects and images of the guides: the example of the README, and
// webapp in the namespace apps.
func (f *fixture) createExamples() {
	f.t.Helper()
	for _, tag := range readmeTags {
		f.push("stefanprodan/podinfo:" + tag)
	}
	for _, tag := range []string{"1.0.0", "1.2.0", "latest"} {
		f.push("org/webapp:" + tag)
	}
	f.writeFiles(pageAt(f.t, "README.md"), clone)
	f.write(clone+"/tags.txt", strings.Join(readmeTags, "\n"))
	webapp := f.placeholders.Replace(content(f.t, testdata+"webapp.yaml"))
	f.write("webapp.yaml", webapp)
	f.write(clone+"/clusters/prod/webapp.yaml", webapp) // checked in docs/guides/explain.md
	f.kubectl("create", "namespace", "apps")
	f.kubectl("apply", "-f", filepath.Join(clone, "podinfo.yaml"), "-f", "webapp.yaml")
	f.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "imagerepository/podinfo", "imagepolicy/podinfo")
	f.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "-n", "apps", "imagerepository/webapp", "imagepolicy/webapp")
}

// writePublicKey writes the public key of a user who signs images.
func writePublicKey(f *fixture) { f.write(clone+"/cosign.pub", content(f.t, testdata+"cosign.pub")) }

// testdata is the path of the test data in the repository.
const testdata = "internal/test/docs/testdata/"

func (f *fixture) push(reference string) {
	f.t.Helper()
	content, err := testenv.Image(reference)
	f.must(err)
	_, err = f.registry.Push(f.t.Context(), reference, content)
	f.must(err)
}

// kubectl runs kubectl for a step that the guides do not contain.
func (f *fixture) kubectl(args ...string) { f.tool("", "kubectl", args...) }

// tool runs a program of the fixture's PATH in a directory of the fixture, and returns its output.
func (f *fixture) tool(dir, name string, args ...string) string {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), "env", append([]string{name}, args...)...)
	cmd.Dir, cmd.Env = filepath.Join(f.dir, dir), f.env
	output, err := cmd.CombinedOutput()
	if err != nil {
		f.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
	return string(output)
}

func bootstrapFlux(f *fixture) {
	f.t.Helper()
	f.write(fleet+"/flux-system/gotk-components.yaml", content(f.t, "internal/test/api/testdata/flux/gotk-components.yaml"))
	f.tool(fleet, "bash", "-ec", content(f.t, testdata+"bootstrap.sh"))
}

// applyPushed applies the pushed commit as Flux does, and marks the Deployment as rolled out.
func applyPushed(f *fixture) {
	f.t.Helper()
	f.tool("", "git", "clone", "-q", "origin.git", "pulled")
	f.kubectl("apply", "--server-side", "--force-conflicts", "-k", "pulled/flux-system")
	markRolledOut("flux-system")(f)
}

// markRolledOut returns a function that writes the status of a Deployment with ready Pods, since no
// controllers of Kubernetes run here.
func markRolledOut(namespace string) func(*fixture) {
	return func(f *fixture) {
		f.t.Helper()
		f.kubectl("-n", namespace, "patch", "deployment", "image-reflector-controller", "--subresource=status", "--type=merge",
			"-p", `{"status":{"observedGeneration":99,"replicas":1,"updatedReplicas":1,"readyReplicas":1,"availableReplicas":1}}`)
	}
}

// installOperatorCRDs creates the CRDs of the Prometheus Operator.
func installOperatorCRDs(f *fixture) {
	f.t.Helper()
	f.kubectl("apply", "-f", filepath.Join(root(f.t), testdata, "operator.yaml"))
	f.kubectl("wait", "--for=condition=Established", "--all", "crd")
}

func createReleaseGitRepository(f *fixture) {
	f.tool(clone, "bash", "-ec", content(f.t, testdata+"release.sh"))
}

// stopController stops the controller, since the guide starts another one.
func stopController(f *fixture) { f.must(f.controller.Stop()) }

// checkPlugins checks that kubectl runs and completes the plugin, and that flux-imagepolicy works.
func checkPlugins(f *fixture) {
	f.t.Helper()
	for command, want := range map[string]string{
		"kubectl imagepolicy explain webapp -n apps":           "Status      1.2.0, as selected",
		`kubectl __complete imagepolicy explain -n apps ""`:    "webapp",
		"kubectl plugin list":                                  "local/bin/kubectl-imagepolicy",
		"flux-imagepolicy explain webapp -n apps --top 0":      "Selected    1.2.0 ",
		"bash -n local/completion/flux-imagepolicy && echo ok": "ok",
	} {
		if printed := f.tool("", "bash", "-c", command); !strings.Contains(printed, want) {
			f.t.Errorf("%s: want %q in\n%s", command, want, printed)
		}
	}
}

// checkShards checks that there are two Deployments, each with its own Pods and objects.
func checkShards(f *fixture) {
	f.t.Helper()
	const fields = "{.spec.selector.matchLabels.app} {.spec.template.metadata.labels.app} {.spec.template.spec.serviceAccountName} " +
		"{.spec.template.spec.containers[0].args}"
	for name, objects := range map[string]string{
		"image-reflector-controller":        "!sharding.fluxcd.io/key",
		"image-reflector-controller-shard1": "sharding.fluxcd.io/key=shard1",
	} {
		got := f.tool("", "kubectl", "-n", "image-reflector-system", "get", "deployment", name, "-o", "jsonpath="+fields)
		want := fmt.Sprintf(`^%[1]s %[1]s image-reflector-controller .*"--enable-leader-election".*"--watch-label-selector=%[2]s"`, name, objects)
		if !regexp.MustCompile(want).MatchString(got) {
			f.t.Errorf("the Deployment %s is %s, want %s", name, got, want)
		}
	}
}
