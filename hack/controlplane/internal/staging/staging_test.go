// SPDX-License-Identifier: Apache-2.0

package staging

import (
	"slices"
	"testing"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/gocmd"
)

func local(path, folder string) gocmd.Replace {
	return gocmd.Replace{Old: gocmd.Module{Path: path}, New: gocmd.Module{Path: folder}}
}

func pinned(path, version string) gocmd.Replace {
	return gocmd.Replace{Old: gocmd.Module{Path: path}, New: gocmd.Module{Path: path, Version: version}}
}

func TestReplaces_AreThePublishedVersions(t *testing.T) {
	cases := map[string]struct {
		reason   string
		version  string
		upstream []gocmd.Replace
		want     []gocmd.Replace
		fails    bool
	}{
		"release": {
			reason:  "every staging module becomes the published one, in the order of paths",
			version: "v1.36.3",
			upstream: []gocmd.Replace{
				local("k8s.io/client-go", "./staging/src/k8s.io/client-go"),
				local("k8s.io/api", "./staging/src/k8s.io/api"),
			},
			want: []gocmd.Replace{pinned("k8s.io/api", "v0.36.3"), pinned("k8s.io/client-go", "v0.36.3")},
		},
		"release candidate": {
			reason:   "libraries are tagged for candidates too",
			version:  "v1.37.0-rc.1",
			upstream: []gocmd.Replace{local("k8s.io/api", "./staging/src/k8s.io/api")},
			want:     []gocmd.Replace{pinned("k8s.io/api", "v0.37.0-rc.1")},
		},
		"other replaces": {
			reason:  "kubernetes' replaces of anything but staging say nothing about a library's version",
			version: "v1.36.3",
			upstream: []gocmd.Replace{
				local("k8s.io/api", "./staging/src/k8s.io/api"),
				pinned("github.com/some/fork", "v1.0.0"),
			},
			want: []gocmd.Replace{pinned("k8s.io/api", "v0.36.3")},
		},
		"no staging":    {reason: "an empty list means that kubernetes changed how it works; writing it would lose the old one", version: "v1.36.3", fails: true},
		"unknown major": {reason: "how libraries of v2 would be numbered is not known", version: "v2.0.0", upstream: []gocmd.Replace{local("k8s.io/api", "./staging/src/k8s.io/api")}, fails: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := replaces(gocmd.ModFile{Replace: tc.upstream}, tc.version)
			if !slices.Equal(got, tc.want) || (err != nil) != tc.fails {
				t.Errorf("replaces = %v, %v; want %v, fails %v: %s", got, err, tc.want, tc.fails, tc.reason)
			}
		})
	}
}

func TestEdit_ChangesWhatDoesNotFit(t *testing.T) {
	want := []gocmd.Replace{pinned("k8s.io/api", "v0.36.3"), pinned("k8s.io/client-go", "v0.36.3")}
	file := gocmd.ModFile{Replace: []gocmd.Replace{
		pinned("k8s.io/api", "v0.36.2"),
		pinned("k8s.io/gone", "v0.36.2"),
		local("k8s.io/kube-openapi", "../fork"),
		pinned("github.com/google/cel-go", "v0.26.0"),
	}}
	got := edit(file, "v1.36.3", want)
	if want := []string{
		"mod", "edit", "-require=k8s.io/kubernetes@v1.36.3", "-dropreplace=k8s.io/gone",
		"-replace=k8s.io/api=k8s.io/api@v0.36.3", "-replace=k8s.io/client-go=k8s.io/client-go@v0.36.3",
	}; !slices.Equal(got, want) {
		t.Errorf("edit = %q; want %q: replaces written by hand must survive", got, want)
	}
}
