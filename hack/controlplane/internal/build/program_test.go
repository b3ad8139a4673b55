// SPDX-License-Identifier: Apache-2.0

package build

import (
	"slices"
	"strings"
	"testing"
)

func TestKubernetesVersion_SetsLinkerVariables(t *testing.T) {
	cases := map[string]struct {
		reason  string
		version string
		want    []string
	}{
		"release":   {reason: "discovery and feature gates use major and minor", version: "v1.36.3", want: []string{".gitVersion=v1.36.3", ".gitMajor=1", ".gitMinor=36", ".gitCommit="}},
		"candidate": {reason: "the suffix is part of the version only", version: "v1.37.0-rc.1", want: []string{".gitVersion=v1.37.0-rc.1", ".gitMajor=1", ".gitMinor=37", ".gitCommit="}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := kubernetesVersion(tc.version)
			for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
				for _, variable := range tc.want {
					if !slices.Contains(got, pkg+variable) {
						t.Errorf("kubernetesVersion = %q does not contain %s: %s", got, pkg+variable, tc.reason)
					}
				}
			}
		})
	}
}

func TestFlags_IncludeTagsAndLinkerVariables(t *testing.T) {
	program := Program{tags: "a,b", linkVars: func(version string) []string { return []string{"p.v=" + version} }}
	want := []string{"-mod=readonly", "-trimpath", "-tags=a,b", "-ldflags=-s -w -X p.v=v1.0.0"}
	if got := program.flags("v1.0.0"); !slices.Equal(got, want) {
		t.Errorf("flags = %q; want %q: they are in the stamp", got, want)
	}
}

// -ldflags is split at whitespace, so a value must not contain any.
func TestLinkVars_ContainNoWhitespace(t *testing.T) {
	for _, b := range Programs() {
		for _, variable := range b.linkVars("v1.2.3") {
			if strings.ContainsAny(variable, " \t'\"") {
				t.Errorf("%s: %q contains whitespace or quotes", b.Name, variable)
			}
		}
	}
}
