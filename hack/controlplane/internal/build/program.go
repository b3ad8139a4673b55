// SPDX-License-Identifier: Apache-2.0

// Package build builds the programs of the control plane and the kubectl of its version from the modules that pin them,
// and finds out whether one that was built before still fits.
package build

import "strings"

// Program is one program.
type Program struct {
	Name    string // of the file, as envtest looks for it
	Folder  string // of the module that pins it
	Module  string // whose version the program carries
	Package string // the main package

	tags     string
	linkVars func(version string) []string
}

// KubeAPIServer is the name of the program whose version names the folder of all.
const KubeAPIServer = "kube-apiserver"

// Programs returns every program: the quick one first, so that a broken setup shows within seconds, and kubectl last, as
// what it shares with the API server is compiled by then.
func Programs() []Program {
	// As hack/lib/golang.sh of kubernetes: without these, dead code can't be dropped.
	const tags = "notest,grpcnotrace"
	return []Program{
		{Name: "etcd", Folder: "etcd", Module: "go.etcd.io/etcd/server/v3", Package: "go.etcd.io/etcd/server/v3", linkVars: etcdVersion},
		{Name: KubeAPIServer, Folder: "apiserver", Module: "k8s.io/kubernetes", Package: "k8s.io/kubernetes/cmd/kube-apiserver",
			tags: tags, linkVars: kubernetesVersion},
		{Name: "kubectl", Folder: "kubectl", Module: "k8s.io/kubernetes", Package: "k8s.io/kubernetes/cmd/kubectl",
			tags: tags, linkVars: kubernetesVersion},
	}
}

// etcdVersion sets the commit, in the place of which the module stands. The version is a constant of the module.
func etcdVersion(version string) []string {
	return []string{"go.etcd.io/etcd/api/v3/version.GitSHA=go.etcd.io/etcd/server/v3@" + version}
}

// kubernetesVersion sets what `--version` and /version answer; the sources hold placeholders. No build date: two builds of
// one pin are the same bytes.
func kubernetesVersion(version string) []string {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	var vars []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		vars = append(vars, pkg+".gitVersion="+version, pkg+".gitMajor="+major, pkg+".gitMinor="+minor, pkg+".gitCommit=")
	}
	return vars
}

// flags are the flags of `go build` that decide what the program becomes.
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
