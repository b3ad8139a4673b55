// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const staging = `replace (
	k8s.io/client-go => ./staging/src/k8s.io/client-go
	k8s.io/api => ./staging/src/k8s.io/api
	github.com/some/fork => github.com/some/fork v1.0.0
)`

// newModules creates a module proxy that serves kubernetes in a version with replaces, an operator
// with the libraries of that version, and the modules to align. It configures the go command to use
// the proxy, and returns the folder of the modules.
func newModules(t *testing.T, version, replaces string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"proxy/k8s.io/kubernetes/@v/" + version + ".info": `{"Version":"` + version + `"}`,
		"proxy/k8s.io/kubernetes/@v/" + version + ".mod":  "module k8s.io/kubernetes\n\n" + replaces + "\n",
		"operator/go.mod": "module m\n\ngo 1.26.0\n\nrequire (\n\tk8s.io/client-go " + library(version) + "\n\tgolang.org/x/net v0.56.0\n\tgolang.org/x/mod v0.30.0\n\tk8s.io/utils v0.1.0\n)\n",
		"etcd/go.mod":     "module m\n\ngo 1.26.0\n\nrequire (\n\tgolang.org/x/net v0.47.0 // indirect\n\tgolang.org/x/sys v0.9.0 // indirect\n\tgolang.org/x/mod v0.31.0 // indirect\n\tk8s.io/utils v0.1.0-0.20260101000000-0123456789ab // indirect\n)\n",
		"apiserver/go.mod": `module m

go 1.26.0

require (
	golang.org/x/sys v0.10.0 // indirect
	k8s.io/api v0.35.0 // indirect
	k8s.io/kubernetes v1.35.0
)
`,
		"kubectl/go.mod": `module m

go 1.26.0

require k8s.io/kubernetes v1.36.2

replace k8s.io/api => k8s.io/api v0.36.2

replace (
	k8s.io/removed => k8s.io/removed v0.36.2
	k8s.io/kube-openapi => ../fork
	github.com/google/cel-go => github.com/google/cel-go v0.26.0
)
`,
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GOPROXY", "file://"+dir+"/proxy")
	t.Setenv("GOSUMDB", "off")
	t.Setenv("GOFLAGS", "-modcacherw")
	t.Setenv("GOMODCACHE", filepath.Join(dir, "cache"))
	t.Setenv("MODULES", dir)
	t.Setenv("ROOT", filepath.Join(dir, "operator"))
	return dir
}

// library returns the version of the libraries of a version of Kubernetes.
func library(version string) string { return strings.Replace(version, "v1.", "v0.", 1) }

func runReplaces(t *testing.T, args ...string) (string, error) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "./replaces.sh", args...).CombinedOutput()
	return string(output), err
}

func TestReplaces_PinPublishedVersions(t *testing.T) {
	for version, want := range map[string]string{"v1.36.3": "v0.36.3", "v1.37.0-rc.1": "v0.37.0-rc.1"} {
		dir := newModules(t, version, staging)
		output, err := runReplaces(t, "-check")
		if err == nil || !strings.Contains(output, "kubectl/go.mod is out of date") {
			t.Errorf("%s: the check printed %q, %v", version, output, err)
		}
		for _, change := range []string{"k8s.io/kubernetes " + version, "k8s.io/api " + want} {
			if !strings.Contains(output, "> \t"+change) {
				t.Errorf("%s: the check does not require %q:\n%s", version, change, output)
			}
		}
		if output, err := runReplaces(t); err != nil {
			t.Fatalf("%s: %v\n%s", version, err, output)
		}
		for _, folder := range []string{"apiserver", "kubectl"} {
			content, err := os.ReadFile(filepath.Join(dir, folder, "go.mod"))
			if err != nil {
				t.Fatal(err)
			}
			checkReplaces(t, folder, string(content), want)
		}
	}
}

func TestReplaces_AlignSharedModules(t *testing.T) {
	newModules(t, "v1.36.3", staging)
	output, err := runReplaces(t, "-check")
	if err == nil || !strings.Contains(output, "etcd/go.mod is out of date") {
		t.Errorf("the check printed %q, %v", output, err)
	}
	for change, want := range map[string]bool{
		"golang.org/x/net v0.56.0": true,  // of the operator
		"golang.org/x/sys v0.10.0": true,  // of apiserver, because the operator does not require it
		"k8s.io/utils v0.1.0":      true,  // newer than its pre-release here
		"golang.org/x/mod v0.30.0": false, // older than required here, and restored by go mod tidy
	} {
		if strings.Contains(output, "> \t"+change) != want {
			t.Errorf("the check requires %q: %t; want %t:\n%s", change, !want, want, output)
		}
	}
}

func checkReplaces(t *testing.T, folder, content, want string) {
	t.Helper()
	for _, line := range []string{"k8s.io/api => k8s.io/api " + want, "k8s.io/client-go => k8s.io/client-go " + want} {
		if !strings.Contains(content, line+"\n") {
			t.Errorf("%s/go.mod has no %q:\n%s", folder, line, content)
		}
	}
	if strings.Contains(content, "some/fork") {
		t.Errorf("a replace of Kubernetes for another module was copied:\n%s", content)
	}
	manual := strings.Contains(content, "../fork") && strings.Contains(content, "cel-go v0.26.0")
	if manual != (folder == "kubectl") || strings.Contains(content, "k8s.io/removed") {
		t.Errorf("%s/go.mod has no manual replace, or has an outdated one:\n%s", folder, content)
	}
}

func TestReplaces_AreUnchangedIfLayoutIsUnknown(t *testing.T) {
	for _, tc := range []struct{ reason, version, replaces, want string }{
		{"an empty list would remove the old one", "v1.36.3", "", "replaces nothing by its staging folder"},
		{"the versions of libraries of v2 are unknown", "v2.0.0+incompatible", staging, "only v0.x.y is the library of a Kubernetes v1.x.y"},
	} {
		dir := newModules(t, tc.version, tc.replaces)
		if output, err := runReplaces(t); err == nil || !strings.Contains(output, tc.want) {
			t.Errorf("%s: it printed %q, %v", tc.reason, output, err)
		}
		if content, err := os.ReadFile(filepath.Join(dir, "kubectl", "go.mod")); err != nil || !strings.Contains(string(content), "k8s.io/api v0.36.2") {
			t.Errorf("%s: go.mod changed: %v\n%s", tc.reason, err, content)
		}
	}
}
