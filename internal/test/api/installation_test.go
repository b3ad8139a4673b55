// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"slices"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	system   = "image-reflector-system"
	replicas = "testdata/replicas" // config/default with config/replicas
	workload = "Deployment/image-reflector-controller"
)

// warnings records the warnings of the API server.
type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

// TestInstallation_IsAcceptedWithoutWarnings applies every object of an installation in a dry run
// with strict validation. The namespace warns of workloads that violate its Pod Security level.
func TestInstallation_IsAcceptedWithoutWarnings(t *testing.T) {
	for _, dir := range []string{"../../../config/default", replicas} {
		t.Run(dir, func(t *testing.T) {
			g := NewWithT(t)
			objects := build(t, dir)
			createNamespace(t, objects)
			warned := &warnings{}
			config := rest.CopyConfig(server.config)
			config.WarningHandlerWithContext = warned
			c, err := client.New(config, client.Options{})
			g.Expect(err).NotTo(HaveOccurred())
			for _, name := range objects.names() {
				err := client.WithFieldValidation(c, "Strict").Apply(t.Context(),
					client.ApplyConfigurationFromUnstructured(objects[name]), client.DryRunAll, client.ForceOwnership, client.FieldOwner("api-tests"))
				g.Expect(err).NotTo(HaveOccurred(), "the API server rejects %s", name)
			}
			g.Expect(warned.text).To(BeEmpty(), "warnings of the API server")
		})
	}
}

// createNamespace creates the namespace of an installation, if it does not exist.
func createNamespace(t *testing.T, objects built) {
	t.Helper()
	var namespace corev1.Namespace
	objects.into(t, "Namespace/"+system, &namespace)
	NewWithT(t).Expect(namespace.Labels["pod-security.kubernetes.io/enforce"]).To(Equal("restricted"), "the namespace enforces the Pod Security level")
	if err := server.Create(t.Context(), &namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// podOf returns a Pod of the Deployment of an installation.
func podOf(t *testing.T, objects built) *corev1.Pod {
	t.Helper()
	var deployment appsv1.Deployment
	objects.into(t, workload, &deployment)
	template := deployment.Spec.Template
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: deployment.Name, Labels: template.Labels},
		Spec:       template.Spec,
	}
}

// TestPod_MeetsPodSecurityLevel checks that the namespace of the installation admits the Pod, and
// rejects Pods that violate its Pod Security level.
func TestPod_MeetsPodSecurityLevel(t *testing.T) {
	objects := build(t, "../../../config/default")
	createNamespace(t, objects)
	pod := podOf(t, objects)
	NewWithT(t).Expect(server.Create(t.Context(), pod)).To(Succeed(), "the Pod of the Deployment is admitted")
	t.Cleanup(func() {
		if err := server.Delete(context.Background(), pod, client.GracePeriodSeconds(0)); err != nil {
			t.Error(err)
		}
	})

	for name, violate := range map[string]func(*corev1.PodSpec, *corev1.SecurityContext){
		"privileged": func(_ *corev1.PodSpec, c *corev1.SecurityContext) {
			c.Privileged, c.AllowPrivilegeEscalation = new(true), new(true)
		},
		"privilege escalation": func(_ *corev1.PodSpec, c *corev1.SecurityContext) { c.AllowPrivilegeEscalation = new(true) },
		"root":                 func(_ *corev1.PodSpec, c *corev1.SecurityContext) { c.RunAsNonRoot = nil },
		"capabilities":         func(_ *corev1.PodSpec, c *corev1.SecurityContext) { c.Capabilities = nil },
		"any system call":      func(_ *corev1.PodSpec, c *corev1.SecurityContext) { c.SeccompProfile = nil },
		"host network":         func(spec *corev1.PodSpec, _ *corev1.SecurityContext) { spec.HostNetwork = true },
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			pod := podOf(t, objects)
			pod.Name = "violating"
			violate(&pod.Spec, pod.Spec.Containers[0].SecurityContext)
			err := server.Create(t.Context(), pod, client.DryRunAll)
			g.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "got %v, want it rejected by the Pod Security level", err)
			g.Expect(err.Error()).To(ContainSubstring(`violates PodSecurity "restricted`), "got %v, want it rejected by the Pod Security level", err)
		})
	}
}

// TestContainer_IsReadOnlyAndLimited checks settings that no Pod Security level requires.
func TestContainer_IsReadOnlyAndLimited(t *testing.T) {
	g := NewWithT(t)
	container := podOf(t, build(t, "../../../config/default")).Spec.Containers[0]
	if readOnly := container.SecurityContext.ReadOnlyRootFilesystem; readOnly == nil || !*readOnly {
		t.Error("the root file system of the container is writable")
	}
	for _, amount := range []corev1.ResourceList{container.Resources.Requests, container.Resources.Limits} {
		g.Expect(amount.Memory().IsZero()).To(BeFalse(), "memory or CPU is missing: %v", amount)
		g.Expect(amount.Cpu().IsZero()).To(BeFalse(), "memory or CPU is missing: %v", amount)
	}
	i := slices.IndexFunc(container.Env, func(v corev1.EnvVar) bool { return v.Name == "GOMEMLIMIT" })
	g.Expect(i).To(BeNumerically(">=", 0), "GOMEMLIMIT is not set")
	ref := container.Env[i].ValueFrom.ResourceFieldRef
	if ref == nil || ref.Resource != "limits.memory" || ref.ContainerName != container.Name || !ref.Divisor.IsZero() {
		t.Errorf("GOMEMLIMIT is %v, want the container's limit in bytes", container.Env[i].ValueFrom)
	}
}

// TestSelectors_MatchDeployment checks that selectors and port names match the Pods of the
// Deployment.
func TestSelectors_MatchDeployment(t *testing.T) {
	objects := build(t, replicas)
	pod := podOf(t, objects)
	var service corev1.Service
	var network networkingv1.NetworkPolicy
	var budget policyv1.PodDisruptionBudget
	objects.into(t, "Service/image-reflector-controller", &service)
	objects.into(t, "NetworkPolicy/image-reflector-controller", &network)
	objects.into(t, "PodDisruptionBudget/image-reflector-controller", &budget)

	for kind, selector := range map[string]*metav1.LabelSelector{
		"Service":             {MatchLabels: service.Spec.Selector},
		"NetworkPolicy":       &network.Spec.PodSelector,
		"PodDisruptionBudget": budget.Spec.Selector,
	} {
		parsed, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil || parsed.Empty() || !parsed.Matches(labels.Set(pod.Labels)) {
			t.Errorf("the %s selects %v (%v), which does not match the labels %v", kind, parsed, err, pod.Labels)
		}
	}
	ports := []string{service.Spec.Ports[0].TargetPort.String()}
	for _, rule := range network.Spec.Ingress {
		for _, port := range rule.Ports {
			ports = append(ports, port.Port.String())
		}
	}
	for _, name := range ports {
		NewWithT(t).Expect(slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == name })).To(BeTrue(), "the container has no port %q", name)
	}
	if egress := network.Spec.Egress; len(egress) != 1 || len(egress[0].To) != 0 || len(egress[0].Ports) != 0 {
		t.Errorf("the NetworkPolicy restricts egress, but registries can be at any address: %v", egress)
	}
}
