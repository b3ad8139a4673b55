// SPDX-License-Identifier: Apache-2.0

package make_test

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

const (
	controller = "image-reflector-controller"
	system     = "image-reflector-system"
	image      = "localhost:5000/reflector:test"
)

// object identifies an object in the cluster.
type object struct{ apiVersion, kind, namespace, name string }

// deployed are the objects that make deploy creates, without the CRDs.
var deployed = []object{
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

var definitions = []object{
	{"apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "imagepolicies.image.toolkit.fluxcd.io"},
	{"apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "imagerepositories.image.toolkit.fluxcd.io"},
}

// live returns the objects in the cluster with their resource versions, without those that are
// being deleted: this control plane has no controller that finalizes a namespace.
func live(t *testing.T, objects []object) map[object]string {
	t.Helper()
	found := map[object]string{}
	for _, o := range objects {
		obj := o.empty()
		err := cluster.Get(t.Context(), client.ObjectKeyFromObject(obj), obj)
		if err == nil && obj.GetDeletionTimestamp() == nil {
			found[o] = obj.GetResourceVersion()
		} else if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
	}
	return found
}

func (o object) empty() *unstructured.Unstructured {
	obj := &unstructured.Unstructured{}
	obj.SetAPIVersion(o.apiVersion)
	obj.SetKind(o.kind)
	obj.SetNamespace(o.namespace)
	obj.SetName(o.name)
	return obj
}

// TestDeploy_InstallsAndRemoves runs the targets in the order of a user.
func TestDeploy_InstallsAndRemoves(t *testing.T) {
	g := NewWithT(t)
	g.Expect(mustMake(t, "install", "deploy", "IMG="+image)).NotTo(ContainSubstring("Warning"), "warning of the API server: the Pod Security level may be violated")
	all := slices.Concat(definitions, deployed)
	first := live(t, all)
	g.Expect(slices.Collect(maps.Keys(first))).To(ConsistOf(all))
	t.Run("Deployment", checkDeployment)
	t.Run("Controller", checkController)

	mustMake(t, "install", "deploy", "IMG="+image)
	second := live(t, all)
	g.Expect(second).To(Equal(first), "a second run changes nothing")

	setImage(t, "localhost:5000/other:test")
	mustMake(t, "deploy", "IMG="+image)
	g.Expect(deployment(t).Spec.Template.Spec.Containers[0].Image).To(Equal(image), "changes of other field managers are reverted")

	mustMake(t, "undeploy")
	g.Expect(live(t, deployed)).To(BeEmpty())
	g.Expect(live(t, definitions)).To(HaveLen(len(definitions)), "the objects of users are kept")
	mustMake(t, "uninstall")
	g.Expect(live(t, definitions)).To(BeEmpty())
	mustMake(t, "undeploy", "uninstall") // nothing is left to remove
}

func deployment(t *testing.T) *appsv1.Deployment {
	t.Helper()
	found := &appsv1.Deployment{}
	NewWithT(t).Expect(cluster.Get(t.Context(), client.ObjectKey{Namespace: system, Name: controller}, found)).To(Succeed())
	return found
}

// setImage changes the image of the Deployment as another field manager.
func setImage(t *testing.T, image string) {
	t.Helper()
	changed := deployment(t)
	changed.Spec.Template.Spec.Containers[0].Image = image
	NewWithT(t).Expect(cluster.Update(t.Context(), changed, client.FieldOwner("another"))).To(Succeed())
}

// checkDeployment checks names and ports that patches and monitoring depend on.
func checkDeployment(t *testing.T) {
	g := NewWithT(t)
	spec := deployment(t).Spec
	manager := spec.Template.Spec.Containers[0]
	g.Expect(manager.Name).To(Equal("manager"))
	g.Expect(manager.Image).To(Equal(image))
	g.Expect(manager.Ports).To(HaveExactElements(HaveField("Name", "http-prom"), HaveField("Name", "healthz")))
	g.Expect(spec.Selector.MatchLabels).To(Equal(map[string]string{"app": controller}), "the same as in a Flux installation, because it is immutable")
}

// checkController runs the controller with the arguments of the Deployment and as its
// ServiceAccount, so that it has only the permissions from config/rbac.
func checkController(t *testing.T) {
	g := NewWithT(t)
	args := runnable(deployment(t).Spec.Template.Spec.Containers[0].Args)
	process := &testenv.Controller{Binary: programs.Controller, Dir: t.TempDir(), Kubeconfig: kubeconfig(t, asAccount),
		Args: args, Env: []string{"RUNTIME_NAMESPACE=" + system}}
	g.Expect(process.Start(t.Context())).To(Succeed())
	defer func() {
		g.Expect(process.Stop()).To(Succeed())
		g.Expect(testenv.Tail(process.LogFile(), 1000)).NotTo(ContainSubstring("forbidden"))
	}()

	repository := object{"image.toolkit.fluxcd.io/v1", "ImageRepository", "default", "invalid"}.empty()
	repository.Object["spec"] = map[string]any{"image": "https://no.image/name", "interval": "1h"}
	g.Expect(cluster.Create(t.Context(), repository)).To(Succeed())
	defer func() { g.Expect(cluster.Delete(context.WithoutCancel(t.Context()), repository)).To(Succeed()) }()
	g.Eventually(func(g Gomega) {
		g.Expect(cluster.Get(t.Context(), client.ObjectKeyFromObject(repository), repository)).To(Succeed())
		conditions, _, err := unstructured.NestedSlice(repository.Object, "status", "conditions")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(conditions).To(ContainElement(And(HaveKeyWithValue("type", "Stalled"), HaveKeyWithValue("status", "True"))))
	}, time.Minute).Should(Succeed(), "the object is reconciled")
	lease := client.ObjectKey{Namespace: system, Name: controller + "-leader-election"}
	g.Expect(cluster.Get(t.Context(), lease, &coordinationv1.Lease{})).To(Succeed(), "a leader is elected")
}

// runnable returns the arguments of a container that are also valid outside of it.
func runnable(args []string) []string {
	return slices.DeleteFunc(args, func(arg string) bool {
		return strings.Contains(arg, "-addr=") || strings.Contains(arg, "storage-path=")
	})
}

// asAccount impersonates the ServiceAccount of the controller.
func asAccount(config *clientcmdapi.Config) {
	for _, user := range config.AuthInfos {
		user.Impersonate = "system:serviceaccount:" + system + ":" + controller
		user.ImpersonateGroups = []string{"system:serviceaccounts", "system:serviceaccounts:" + system, "system:authenticated"}
	}
}

// unreachable sets an address on which no server listens.
func unreachable(config *clientcmdapi.Config) {
	for _, c := range config.Clusters {
		c.Server = "https://127.0.0.1:1"
	}
}

// kubeconfig writes a changed copy of the control plane's kubeconfig, and returns its path.
func kubeconfig(t *testing.T, change func(*clientcmdapi.Config)) string {
	t.Helper()
	g := NewWithT(t)
	config, err := clientcmd.LoadFromFile(plane.Kubeconfig())
	g.Expect(err).NotTo(HaveOccurred())
	change(config)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	g.Expect(clientcmd.WriteToFile(*config, path)).To(Succeed())
	return path
}

// TestDeploy_WaitsForCRDDeletion blocks the deletion of a CRD by a finalizer.
func TestDeploy_WaitsForCRDDeletion(t *testing.T) {
	g := NewWithT(t)
	mustMake(t, "install")
	deleting := definitions[0].empty()
	finalizers := func(value string) {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":`+value+`}}`))
		g.Expect(cluster.Patch(t.Context(), deleting, patch)).To(Succeed())
	}
	finalizers(`["example.com/test"]`)
	for _, target := range []string{"uninstall", "install"} {
		out, err := runMake(t, target, "TIMEOUT=1s")
		g.Expect(err).To(HaveOccurred())
		g.Expect(out).To(ContainSubstring("timed out waiting for the condition on customresourcedefinitions/"+deleting.GetName()), "make %s", target)
	}

	finalizers("null")
	g.Eventually(func() bool {
		return apierrors.IsNotFound(cluster.Get(t.Context(), client.ObjectKeyFromObject(deleting), deleting))
	}, time.Minute).Should(BeTrue())
	mustMake(t, "install")
	g.Expect(live(t, definitions)).To(HaveLen(len(definitions)))
	mustMake(t, "uninstall")
}

func TestDeploy_ReportsConfigurationErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		reason, want string
		args         []string
	}{
		"no kubeconfig": {
			reason: "kubectl would report a refused connection to localhost", want: "no cluster is configured",
			args: []string{"install", "KUBECONFIG=" + filepath.Join(t.TempDir(), "missing")},
		},
		"image without a tag": {reason: "it would silently use the default tag", want: "which has no tag", args: []string{"deploy", "IMG=localhost:5000/reflector"}},
		"unreachable cluster": {reason: "the error of kubectl has the address", want: "127.0.0.1:1", args: []string{"install", "KUBECONFIG=" + kubeconfig(t, unreachable)}},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := runMake(t, tc.args...); err == nil || !strings.Contains(out, tc.want) {
				t.Errorf("make returned %v, want an error with %q: %s", err, tc.want, tc.reason)
			}
		})
	}
}
