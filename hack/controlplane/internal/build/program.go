// SPDX-License-Identifier: Apache-2.0

// Package build builds the programs of the control plane and the matching kubectl from the modules
// that pin them, and detects whether an earlier build can be reused.
package build

import (
	"slices"
	"strings"
)

// Program describes a program of the control plane.
type Program struct {
	Name    string // of the file, as envtest expects it
	Folder  string // of the module that pins it
	Module  string // the pinned module, whose version is that of the program
	Package string // main package

	tags     string
	linkVars func(version string) []string
}

// KubeAPIServer is the name of the program after whose version the folder of all programs is named.
const KubeAPIServer = "kube-apiserver"

// Programs returns all programs: the fastest build first, so that a broken setup fails within
// seconds, and kubectl last, because it shares packages with the API server.
func Programs() []Program {
	// As in hack/lib/golang.sh of kubernetes: without them, the linker can't remove dead code.
	const tags = "notest,grpcnotrace"
	return []Program{
		{Name: "etcd", Folder: "etcd", Module: "go.etcd.io/etcd/server/v3", Package: "go.etcd.io/etcd/server/v3", linkVars: etcdVersion},
		{Name: KubeAPIServer, Folder: "apiserver", Module: "k8s.io/kubernetes", Package: "k8s.io/kubernetes/cmd/kube-apiserver",
			tags: tags, linkVars: kubernetesVersion},
		{Name: "kubectl", Folder: "kubectl", Module: "k8s.io/kubernetes", Package: "k8s.io/kubernetes/cmd/kubectl",
			tags: tags, linkVars: kubernetesVersion},
	}
}

// ControlPlane returns the programs without kubectl.
func ControlPlane() []Program {
	return slices.DeleteFunc(Programs(), func(p Program) bool { return p.Name == "kubectl" })
}

// etcdVersion sets the commit to module@version. The version itself is a constant in the module.
func etcdVersion(version string) []string {
	return []string{"go.etcd.io/etcd/api/v3/version.GitSHA=go.etcd.io/etcd/server/v3@" + version}
}

// kubernetesVersion sets the version that `--version` and /version return, for which the sources
// have placeholders. It sets no build date, so that builds are reproducible.
func kubernetesVersion(version string) []string {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	var vars []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		vars = append(vars, pkg+".gitVersion="+version, pkg+".gitMajor="+major, pkg+".gitMinor="+minor, pkg+".gitCommit=")
	}
	return vars
}

// flags returns the flags of `go build`.
func (p Program) flags(version string) []string {
	flags := []string{"-mod=readonly", "-trimpath"}
	if p.tags != "" {
		flags = append(flags, "-tags="+p.tags)
	}
	link := "-ldflags=-s -w"
	for _, variable := range p.linkVars(version) {
		link += " -X " + variable
	}
	return append(flags, link)
}
