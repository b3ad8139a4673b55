// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// cluster is the control plane of all tests.
var cluster struct {
	client.Client
	kubeconfig string
}

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return fail("KUBEBUILDER_ASSETS is not set, and these tests need a control plane: " +
			`run "make test", or KUBEBUILDER_ASSETS="$(go -C hack/controlplane run . build)" go test ./hack/apply`)
	}
	env := &envtest.Environment{ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute}
	config, err := env.Start()
	if err != nil {
		return fail("starting the control plane: %v", err)
	}
	defer func() {
		if err := env.Stop(); err != nil {
			fail("stopping the control plane: %v", err)
		}
	}()
	folder, err := os.MkdirTemp("", "apply")
	if err != nil {
		return fail("%v", err)
	}
	defer os.RemoveAll(folder)
	cluster.kubeconfig = filepath.Join(folder, "kubeconfig")
	if err := os.WriteFile(cluster.kubeconfig, env.KubeConfig, 0o600); err != nil {
		return fail("%v", err)
	}
	if cluster.Client, err = client.New(config, client.Options{}); err != nil {
		return fail("making a client: %v", err)
	}
	return m.Run()
}

func fail(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, "apply: "+format+"\n", args...)
	return 1
}

// command runs the command against the control plane, and returns what it
// printed.
func command(t *testing.T, in string, args ...string) (string, error) {
	t.Helper()
	t.Setenv("KUBECONFIG", cluster.kubeconfig)
	var out strings.Builder
	err := run(t.Context(), args, strings.NewReader(in), &out)
	return out.String(), err
}

const widgets = `
apiVersion: example.com/v1
kind: Widget
metadata: {name: a}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
`

// TestApplyDefinitionAndObject has the object before its definition.
func TestApplyDefinitionAndObject(t *testing.T) {
	steps := []struct {
		reason string
		args   []string
		want   []string
	}{
		{reason: "the kind is waited for", want: []string{"widgets.example.com created", "widget.example.com/a created"}},
		{reason: "a second run changes nothing", want: []string{"widgets.example.com unchanged", "widget.example.com/a unchanged"}},
		{reason: "kept kinds are left alone", args: []string{"-delete", "-keep", "CustomResourceDefinition"}, want: []string{"widget.example.com/a deleted"}},
		{reason: "the object is gone already", args: []string{"-delete"}, want: []string{"widget.example.com/a is not there", "widgets.example.com deleted"}},
		{reason: "a second run finds nothing", args: []string{"-delete"}, want: []string{"widget.example.com/a is not there", "widgets.example.com is not there"}},
		{reason: "it can be made again", want: []string{"widgets.example.com created", "widget.example.com/a created"}},
		{reason: "and be deleted again", args: []string{"-delete"}, want: []string{"widget.example.com/a deleted", "widgets.example.com deleted"}},
	}
	for _, step := range steps {
		out, err := command(t, widgets, step.args...)
		if err != nil {
			t.Fatalf("%v: %s", err, step.reason)
		}
		for _, want := range step.want {
			if !strings.Contains(out, want+"\n") {
				t.Errorf("the output is\n%s\nand does not say\n%s\n%s", out, want, step.reason)
			}
		}
	}
}

func TestApplyFails(t *testing.T) {
	cases := map[string]struct{ reason, in, problem string }{
		"nothing":       {reason: "what was piped failed", problem: "the input holds no object"},
		"unknown kind":  {reason: "its CRD is missing", in: "apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: a, namespace: default}\n", problem: "install its CRD first"},
		"unknown field": {reason: "a slip of the pen is told", in: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndate: {}\n", problem: "configmap/a: "},
		"no namespace":  {reason: "it is created by nobody", in: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: missing}\n", problem: `namespaces "missing" not found`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if out, err := command(t, tc.in); err == nil || !strings.Contains(err.Error(), tc.problem) {
				t.Errorf("got the error %v, want %q: %s\n%s", err, tc.problem, tc.reason, out)
			}
		})
	}
}

func TestNoCluster(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, problem := range map[string]string{
		empty:           "no cluster is configured: set KUBECONFIG",
		empty + ".none": "KUBECONFIG names a file that can't be read",
	} {
		t.Setenv("KUBECONFIG", file)
		err := run(t.Context(), nil, strings.NewReader(widgets), &strings.Builder{})
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("got the error %v, want %q", err, problem)
		}
	}
}

// TestHeldObject deletes what a finalizer holds. Whoever waits must learn why.
func TestHeldObject(t *testing.T) {
	held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "held", Namespace: "default", Finalizers: []string{"example.com/held"}}}
	if err := cluster.Create(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	const in = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: held}\n"
	_, err := command(t, in, "-delete", "-timeout", "1s")
	if err == nil || !strings.Contains(err.Error(), "example.com/held") {
		t.Errorf("got the error %v, want one that names the finalizer", err)
	}

	released := make(chan error, 1)
	go func() {
		time.Sleep(2 * pollInterval)
		released <- release(t.Context(), held)
	}()
	out, err := command(t, in)
	if err != nil || !strings.Contains(out, "still being deleted, waiting") || !strings.Contains(out, "configmap/held created") {
		t.Errorf("got %v, want it waited for and created anew\n%s", err, out)
	}
	if err := <-released; err != nil {
		t.Error(err)
	}
}

func release(ctx context.Context, obj client.Object) error {
	return cluster.Patch(ctx, obj, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))
}

// find returns an object of the cluster, or nil.
func find(t *testing.T, apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	obj := &unstructured.Unstructured{}
	obj.SetAPIVersion(apiVersion)
	obj.SetKind(kind)
	err := cluster.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, obj)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if err != nil {
		return nil
	}
	return obj
}
