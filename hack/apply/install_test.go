// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	controller = "image-reflector-controller"
	system     = "image-reflector-system"
	image      = "localhost:5000/reflector:test"
)

// installed is what make deploy makes, without the CRDs.
var installed = []struct{ apiVersion, kind, namespace, name string }{
	{"v1", "Namespace", "", system},
	{"v1", "ServiceAccount", system, controller},
	{"rbac.authorization.k8s.io/v1", "ClusterRole", "", controller},
	{"rbac.authorization.k8s.io/v1", "ClusterRole", "", "image-reflector-edit"},
	{"rbac.authorization.k8s.io/v1", "ClusterRole", "", "image-reflector-view"},
	{"rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "", controller},
	{"rbac.authorization.k8s.io/v1", "Role", system, controller + "-leader-election"},
	{"rbac.authorization.k8s.io/v1", "RoleBinding", system, controller + "-leader-election"},
	{"apps/v1", "Deployment", system, controller},
	{"v1", "Service", system, controller},
	{"networking.k8s.io/v1", "NetworkPolicy", system, controller},
}

var definitions = []string{"imagepolicies.image.toolkit.fluxcd.io", "imagerepositories.image.toolkit.fluxcd.io"}

// TestMakeInstall runs the targets that a user runs, in the order in which a
// user does.
func TestMakeInstall(t *testing.T) {
	out := runMake(t, "install", "deploy", "IMG="+image)
	for _, want := range append(titlesOfInstalled(), definitions...) {
		if !strings.Contains(out, want+" created\n") {
			t.Errorf("%s is not created", want)
		}
	}
	if strings.Contains(out, "Warning") {
		t.Error("the API server warns: is the Pod Security level exceeded?")
	}
	checkInstalled(t, true)
	checkDefinitions(t, true)
	t.Run("Deployment", checkDeployment)
	t.Run("Controller", checkController)

	if out := runMake(t, "install", "deploy", "IMG="+image); strings.Contains(out, " created\n") || strings.Contains(out, " configured\n") {
		t.Error("a second run changes something")
	}

	runMake(t, "undeploy")
	checkInstalled(t, false)
	checkDefinitions(t, true) // or what users made would be lost
	runMake(t, "uninstall")
	checkDefinitions(t, false)
	runMake(t, "undeploy", "uninstall")
}

func titlesOfInstalled() []string {
	var all []string
	for _, each := range installed {
		kind := strings.ToLower(each.kind)
		if group, _, grouped := strings.Cut(each.apiVersion, "/"); grouped {
			kind += "." + group
		}
		all = append(all, kind+"/"+each.name)
	}
	return all
}

func checkInstalled(t *testing.T, want bool) {
	t.Helper()
	for _, each := range installed {
		obj := find(t, each.apiVersion, each.kind, each.namespace, each.name)
		// No controller of this control plane ends a namespace.
		if there := obj != nil && obj.GetDeletionTimestamp() == nil; there != want {
			t.Errorf("%s %s is there: %v, want %v", each.kind, each.name, there, want)
		}
	}
}

func checkDefinitions(t *testing.T, want bool) {
	t.Helper()
	for _, name := range definitions {
		if there := find(t, "apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name) != nil; there != want {
			t.Errorf("%s is there: %v, want %v", name, there, want)
		}
	}
}

// checkDeployment looks at what others rely on, and creates the Pod that the
// Deployment would: the namespace admits it only within its Pod Security level.
func checkDeployment(t *testing.T) {
	deployment := &appsv1.Deployment{}
	if err := cluster.Get(t.Context(), client.ObjectKey{Namespace: system, Name: controller}, deployment); err != nil {
		t.Fatal(err)
	}
	manager := deployment.Spec.Template.Spec.Containers[0]
	if manager.Name != "manager" || manager.Image != image {
		t.Errorf("the container is %s of the image %s, want manager of %s", manager.Name, manager.Image, image)
	}
	var ports []string
	for _, port := range manager.Ports {
		ports = append(ports, port.Name)
	}
	if want := []string{"http-prom", "healthz"}; !slices.Equal(ports, want) {
		t.Errorf("the ports are %v, want %v", ports, want)
	}
	if got := deployment.Spec.Selector.MatchLabels; len(got) != 1 || got["app"] != controller {
		t.Errorf("the selector is %v, want that of a Flux installation, as it can't be changed", got)
	}

	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: controller, Namespace: system, Labels: deployment.Spec.Template.Labels},
		Spec:       deployment.Spec.Template.Spec,
	}
	if err := cluster.Create(t.Context(), pod.DeepCopy(), client.DryRunAll); err != nil {
		t.Errorf("the Pod is not admitted: %v", err)
	}
	pod.Spec.Containers[0].SecurityContext.RunAsNonRoot = new(false)
	if err := cluster.Create(t.Context(), pod, client.DryRunAll); err == nil {
		t.Error("a Pod that may run as root is admitted: the namespace has no Pod Security level")
	}
}

// runMake runs targets of the Makefile, and returns what they print.
func runMake(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", append([]string{"-C", "../..", "--no-print-directory"}, args...)...)
	// The tests may themselves be run by make, whose settings are not for here.
	cmd.Env = append(os.Environ(), "KUBECONFIG="+cluster.kubeconfig, "MAKEFLAGS=", "MAKELEVEL=", "MFLAGS=")
	out, err := cmd.CombinedOutput()
	t.Logf("make %s\n%s", strings.Join(args, " "), out)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
