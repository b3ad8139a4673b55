// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"slices"
	"strings"
	"testing"
)

func TestKubernetesVersion(t *testing.T) {
	cases := map[string]struct {
		reason  string
		version string
		want    []string
	}{
		"release": {
			reason:  "discovery and feature gates read major and minor",
			version: "v1.36.3",
			want:    []string{".gitVersion=v1.36.3", ".gitMajor=1", ".gitMinor=36", ".gitCommit="},
		},
		"candidate": {
			reason:  "the suffix belongs to the version, not to the minor",
			version: "v1.37.0-rc.1",
			want:    []string{".gitVersion=v1.37.0-rc.1", ".gitMajor=1", ".gitMinor=37", ".gitCommit="},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := kubernetesVersion(tc.version)
			for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
				for _, variable := range tc.want {
					if !slices.Contains(got, pkg+variable) {
						t.Errorf("kubernetesVersion = %q lacks %s: %s", got, pkg+variable, tc.reason)
					}
				}
			}
		})
	}
}

func TestFlags(t *testing.T) {
	cases := map[string]struct {
		reason string
		binary Binary
		want   []string
	}{
		"plain": {
			reason: "paths of the machine never get into a binary",
			want:   []string{"-mod=readonly", "-trimpath", "-ldflags=-s -w"},
		},
		"tags and variables": {
			reason: "both change the program, so both are in its stamp",
			binary: Binary{
				tags:     []string{"a", "b"},
				linkVars: func(version string) []string { return []string{"p.v=" + version} },
			},
			want: []string{"-mod=readonly", "-trimpath", "-tags=a,b", "-ldflags=-s -w -X p.v=v1.0.0"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.binary.Flags("v1.0.0"); !slices.Equal(got, tc.want) {
				t.Errorf("Flags = %q; want %q: %s", got, tc.want, tc.reason)
			}
		})
	}
}

// The linker takes each -X as one word: a space in a value would break the flags apart.
func TestLinkVarsHoldNoSpace(t *testing.T) {
	for _, b := range All() {
		for _, variable := range b.linkVars("v1.2.3") {
			if strings.ContainsAny(variable, " \t'\"") {
				t.Errorf("%s: %q has to be one word", b.Name, variable)
			}
		}
	}
}
