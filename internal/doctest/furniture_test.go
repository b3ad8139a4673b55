// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
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
	for _, p := range pages(w.t) {
		if p.path == "README.md" {
			w.shown(p, clone)
		}
	}
	w.write(clone+"/tags.txt", strings.Join(tagsOfReadme, "\n"))
	w.write("webapp.yaml", w.standsFor.Replace(webapp))
	w.kubectl("create", "namespace", "apps")
	w.kubectl("apply", "-f", filepath.Join(clone, "podinfo.yaml"), "-f", "webapp.yaml")
	w.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "imagerepository/podinfo", "imagepolicy/podinfo")
	w.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "-n", "apps", "imagerepository/webapp", "imagepolicy/webapp")
}

// signing makes the public key that a reader has who signs images.
func signing(w *world) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	w.must(err)
	w.write(clone+"/cosign.pub", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
}

const webapp = `apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: webapp, namespace: apps}
spec: {image: registry.example.com/org/webapp, interval: 1h}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: webapp, namespace: apps}
spec: {imageRepositoryRef: {name: webapp}, policy: {semver: {range: 1.x}}}
`

func (w *world) push(reference string) {
	w.t.Helper()
	content, err := stage.Image(reference)
	w.must(err)
	_, err = w.registry.Push(w.t.Context(), reference, content)
	w.must(err)
}

// kubectl does what a guide leaves to somebody else.
func (w *world) kubectl(args ...string) { w.tool("", "kubectl", args...) }

// tool runs a program of the reader's PATH in a folder of the world.
func (w *world) tool(dir, name string, args ...string) {
	w.t.Helper()
	program, err := exec.LookPath(name)
	if tool := w.path("tools/" + name); exists(tool) {
		program, err = tool, nil
	}
	w.must(err)
	cmd := exec.CommandContext(w.t.Context(), program, args...)
	cmd.Dir, cmd.Env = filepath.Join(w.dir, dir), w.env
	if output, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
}

// bootstrapped makes the repository of flux bootstrap, as far as the guide needs
// it, and a place to push to.
func bootstrapped(w *world) {
	w.t.Helper()
	w.copy(filepath.Join(root(w.t), "internal/apitest/testdata/flux/gotk-components.yaml"), filepath.Join(w.dir, fleet, "flux-system/gotk-components.yaml"))
	w.write(fleet+"/flux-system/gotk-sync.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: any, namespace: flux-system}\n")
	w.tool("", "git", "init", "-q", "--bare", "-b", "main", "origin.git")
	w.tool(fleet, "git", "init", "-q", "-b", "main")
	w.tool(fleet, "git", "remote", "add", "origin", "../origin.git")
	w.tool(fleet, "git", "add", "flux-system/gotk-components.yaml")
	w.tool(fleet, "git", "commit", "-q", "-m", "Bootstrap")
	w.tool(fleet, "git", "push", "-q", "-u", "origin", "main")
}

// reconciled does what Flux does of what was pushed, and then the controllers of
// Kubernetes.
func reconciled(w *world) {
	w.t.Helper()
	w.tool("", "git", "clone", "-q", "origin.git", "pulled")
	w.kubectl("apply", "--server-side", "--force-conflicts", "-k", "pulled/flux-system")
	rolledOut("flux-system")(w)
	logged(w, "flux-system")
}

// rolledOut does what the controllers of Kubernetes do, of which none runs here:
// it says that the Pods of a Deployment are there.
func rolledOut(namespace string) func(*world) {
	return func(w *world) {
		w.t.Helper()
		deployment := &appsv1.Deployment{}
		w.must(w.api.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: "image-reflector-controller"}, deployment))
		deployment.Status = appsv1.DeploymentStatus{ObservedGeneration: deployment.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
		w.must(w.api.Status().Update(w.t.Context(), deployment))
	}
}

// operated is a cluster with the Prometheus Operator, as far as its objects can
// be created there.
func operated(w *world) {
	w.t.Helper()
	for plural, kind := range map[string]string{"podmonitors": "PodMonitor", "prometheusrules": "PrometheusRule"} {
		w.write(plural+".yaml", `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: `+plural+`.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: `+kind+`, plural: `+plural+`}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`)
		w.kubectl("apply", "-f", plural+".yaml")
		w.kubectl("wait", "--for=condition=Established", "crd/"+plural+".monitoring.coreos.com")
	}
}

// renamed makes a repository of the clone, in which the heading of the changelog
// is that of a release.
func renamed(w *world) {
	w.t.Helper()
	w.tool("", "git", "init", "-q", "--bare", "-b", "main", "upstream.git")
	w.tool(clone, "git", "init", "-q", "-b", "main")
	w.tool(clone, "git", "remote", "add", "origin", "../upstream.git")
	w.tool(clone, "git", "add", ".")
	w.tool(clone, "git", "commit", "-q", "-m", "Begin")
	content, err := os.ReadFile(filepath.Join(w.dir, clone, "CHANGELOG.md"))
	w.must(err)
	w.write(clone+"/CHANGELOG.md", strings.Replace(string(content), "## Unreleased\n", "## Unreleased\n\n## v1.0.0 - 2026-12-01\n", 1))
}

// alone leaves the cluster to the controller that the reader starts.
func alone(w *world) { w.must(w.controller.Stop()) }

// plugged calls the plugin as kubectl finds it, and has kubectl complete it.
func plugged(w *world) {
	w.t.Helper()
	shell := openTerminal(w.t, w.dir, w.env)
	for command, want := range map[string]string{
		"kubectl imagepolicy explain webapp -n apps":           "Status      1.2.0, as selected",
		`kubectl __complete imagepolicy explain -n apps ""`:    "webapp",
		"kubectl plugin list":                                  "local/bin/kubectl-imagepolicy",
		"flux-imagepolicy explain webapp -n apps --top 0":      "Selected    1.2.0 ",
		"bash -n local/completion/flux-imagepolicy && echo ok": "ok",
	} {
		if printed, err := shell.run(command); err != nil || !strings.Contains(printed, want) {
			w.t.Errorf("%s: %v, and want %q in\n%s", command, err, want, printed)
		}
	}
	w.must(shell.close())
}

// guarded has the file that the guide guards.
func guarded(w *world) {
	content, err := os.ReadFile(filepath.Join(w.dir, "webapp.yaml"))
	w.must(err)
	w.write(clone+"/clusters/prod/webapp.yaml", string(content))
}
