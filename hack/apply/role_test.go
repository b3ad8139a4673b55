// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// reconciled are objects that the controller can settle without a registry.
const reconciled = `
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: invalid, namespace: default}
spec: {image: "https://no.image/name", interval: 1h}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: secret, namespace: default}
spec: {image: localhost:1/none, interval: 1h, secretRef: {name: missing}, serviceAccountName: missing}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: invalid, namespace: default}
spec: {imageRepositoryRef: {name: invalid}, policy: {semver: {range: "*"}}}
`

// checkController runs the controller with the arguments of the Deployment, as
// its ServiceAccount: with the permissions of config/rbac and no others.
func checkController(t *testing.T) {
	var log bytes.Buffer
	health := freeAddress(t)
	stop := startController(t, health, &log)

	if out, err := command(t, reconciled); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	defer func() {
		if out, err := command(t, reconciled, "-delete"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}()
	waitFor(t, "the controller to be ready", func() bool { return isReady(t, health) })
	waitFor(t, "the invalid ImageRepository to be stalled", func() bool { return isStalled(t, "ImageRepository") })
	waitFor(t, "the ImagePolicy of an invalid ImageRepository to be stalled", func() bool { return isStalled(t, "ImagePolicy") })
	waitFor(t, "the missing Secret to be told", func() bool {
		message := readyMessage(t, "ImageRepository", "secret")
		return strings.Contains(message, `Secret "missing" does not exist`)
	})
	lease := &coordinationv1.Lease{}
	if err := cluster.Get(t.Context(), client.ObjectKey{Namespace: system, Name: controller + "-leader-election"}, lease); err != nil {
		t.Errorf("no leader was elected: %v", err)
	}

	stop()
	if strings.Contains(log.String(), "forbidden") {
		t.Errorf("config/rbac lacks a permission:\n%s", &log)
	}
	if t.Failed() {
		t.Logf("the controller said\n%s", &log)
	}
}

// startController returns the function that ends the controller.
func startController(t *testing.T, health string, log *bytes.Buffer) func() {
	t.Helper()
	binary := os.Getenv("CONTROLLER")
	if binary == "" {
		t.Fatal("CONTROLLER is not set, and this test runs the controller: run \"make test\", " +
			"or \"make build\" and set CONTROLLER to the path of bin/image-reflector-controller")
	}
	deployment := &appsv1.Deployment{}
	if err := cluster.Get(t.Context(), client.ObjectKey{Namespace: system, Name: controller}, deployment); err != nil {
		t.Fatal(err)
	}
	// Of an argument that is given twice, the second one counts.
	args := append(deployment.Spec.Template.Spec.Containers[0].Args,
		"--storage-path="+t.TempDir(), "--health-addr="+health, "--metrics-addr=127.0.0.1:0")
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+serviceAccountKubeconfig(t), "RUNTIME_NAMESPACE="+system)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended, which Wait tells
		if err, ok := <-ended; ok && err != nil {
			t.Errorf("the controller ended with %v", err)
		}
		close(ended)
	}
	return stop
}

// serviceAccountKubeconfig returns the path of a kubeconfig that acts as the
// ServiceAccount of the controller.
func serviceAccountKubeconfig(t *testing.T) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(cluster.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range config.AuthInfos {
		user.Impersonate = fmt.Sprintf("system:serviceaccount:%s:%s", system, controller)
		user.ImpersonateGroups = []string{"system:serviceaccounts", "system:serviceaccounts:" + system, "system:authenticated"}
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func isReady(t *testing.T, address string) bool {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func isStalled(t *testing.T, kind string) bool {
	t.Helper()
	obj := find(t, "image.toolkit.fluxcd.io/v1", kind, "default", "invalid")
	return obj != nil && condition(obj, "Stalled")["status"] == "True"
}

func readyMessage(t *testing.T, kind, name string) string {
	t.Helper()
	obj := find(t, "image.toolkit.fluxcd.io/v1", kind, "default", name)
	if obj == nil {
		return ""
	}
	return fmt.Sprint(condition(obj, "Ready")["message"])
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(pollInterval) {
		if time.Now().After(deadline) {
			t.Errorf("waited a minute for %s", what)
			return
		}
	}
}
