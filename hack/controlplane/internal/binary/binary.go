// SPDX-License-Identifier: Apache-2.0

// Package binary says what the control plane and its client consist of, how each part is built, and from what a built one
// was made.
package binary

import "strings"

// Binary is one program: of the control plane, or its client.
type Binary struct {
	Name    string // of the file, as envtest looks for it
	Folder  string // of the module that pins it
	Module  string // whose version the program carries
	Package string // the main package

	tags     []string
	linkVars func(version string) []string
}

// All returns every program, the quick one first: a broken setup then shows within seconds.
func All() []Binary {
	return []Binary{Etcd(), KubeAPIServer(), Kubectl()}
}

// Etcd is the store below the API server.
func Etcd() Binary {
	return Binary{
		Name:    "etcd",
		Folder:  "etcd",
		Module:  "go.etcd.io/etcd/server/v3",
		Package: "go.etcd.io/etcd/server/v3",
		// The version is a constant of the module; only the commit is unknown, so the module stands in for it.
		linkVars: func(version string) []string {
			return []string{"go.etcd.io/etcd/api/v3/version.GitSHA=go.etcd.io/etcd/server/v3@" + version}
		},
	}
}

// KubeAPIServer is the Kubernetes API server.
func KubeAPIServer() Binary {
	return Binary{
		Name:    "kube-apiserver",
		Folder:  "apiserver",
		Module:  "k8s.io/kubernetes",
		Package: "k8s.io/kubernetes/cmd/kube-apiserver",
		// As hack/lib/golang.sh of kubernetes: without these, dead code cannot be dropped.
		tags:     []string{"notest", "grpcnotrace"},
		linkVars: kubernetesVersion,
	}
}

// Kubectl is the client with which tests run what the guides tell users to type. It comes last: what it shares with the
// API server is compiled by then.
func Kubectl() Binary {
	b := KubeAPIServer()
	b.Name, b.Folder, b.Package = "kubectl", "kubectl", "k8s.io/kubernetes/cmd/kubectl"
	return b
}

// kubernetesVersion sets what `--version` and /version answer; the sources hold placeholders. No build date: two
// builds of one pin are the same bytes.
func kubernetesVersion(version string) []string {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	var vars []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		vars = append(vars,
			pkg+".gitVersion="+version,
			pkg+".gitMajor="+major,
			pkg+".gitMinor="+minor,
			pkg+".gitCommit=",
		)
	}
	return vars
}

// Flags are the flags of `go build` that decide what the program becomes.
func (b Binary) Flags(version string) []string {
	flags := []string{"-mod=readonly", "-trimpath"}
	if len(b.tags) > 0 {
		flags = append(flags, "-tags="+strings.Join(b.tags, ","))
	}
	link := []string{"-s", "-w"}
	if b.linkVars != nil {
		for _, variable := range b.linkVars(version) {
			link = append(link, "-X", variable)
		}
	}
	return append(flags, "-ldflags="+strings.Join(link, " "))
}
