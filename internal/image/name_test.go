// SPDX-License-Identifier: Apache-2.0

package image

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestParse_ReturnsCanonicalNameHostAndScheme(t *testing.T) {
	for _, tc := range []struct {
		reason    string
		in        string
		insecure  bool
		canonical string
		host      string
		scheme    string
	}{
		{"a name without a slash is an official image of Docker Hub", "alpine", false, "index.docker.io/library/alpine", "index.docker.io", "https"},
		{"a name with one slash and no host is on Docker Hub", "fluxcd/flux", false, "index.docker.io/fluxcd/flux", "index.docker.io", "https"},
		{"a host keeps its path", "ghcr.io/a/b/c", false, "ghcr.io/a/b/c", "ghcr.io", "https"},
		{"a port belongs to the host", "registry.example.com:5000/app", false, "registry.example.com:5000/app", "registry.example.com:5000", "https"},
		{"insecure allows plain HTTP", "registry.example.com:5000/app", true, "registry.example.com:5000/app", "registry.example.com:5000", "http"},
	} {
		t.Run(tc.in, func(t *testing.T) {
			g := NewWithT(t)
			got, err := Parse(tc.in, tc.insecure)
			g.Expect(err).NotTo(HaveOccurred(), tc.reason)
			g.Expect(got.String()).To(Equal(tc.in), "the name as it was written")
			g.Expect(got.Canonical()).To(Equal(tc.canonical), tc.reason)
			g.Expect(got.Host()).To(Equal(tc.host), tc.reason)
			g.Expect(got.Repository().Scheme()).To(Equal(tc.scheme), tc.reason)
			g.Expect(got.IsZero()).To(BeFalse())
		})
	}
}

func TestParse_ErrorsNameTheFix(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "must not be empty",
		"https://ghcr.io/a/b":         `remove "https://"`,
		"oci://ghcr.io/a/b":           `remove "oci://"`,
		"ghcr.io/a/b:1.0.0":           `remove ":1.0.0"`,
		"localhost:5000/a/b:1.0.0":    `remove ":1.0.0"`,
		"ghcr.io/a/b@sha256:deadbeef": `remove "@sha256:deadbeef"`,
		"ghcr.io/A/b":                 `must be in lower case, write "ghcr.io/a/b"`,
		"ghcr.io/a/b/":                `must not end in a slash`,
		"ghcr.io/a/b ":                `must not have blanks`,
		"ghcr.io/a!b":                 "can only contain",
		"alpine:3":                    "invalid image",
		"ghcr.io/a b":                 "can only contain",
	} {
		t.Run(in, func(t *testing.T) {
			g := NewWithT(t)
			name, err := Parse(in, false)
			g.Expect(err).To(MatchError(ContainSubstring(want)))
			g.Expect(err).To(MatchError(ContainSubstring("invalid image")))
			g.Expect(name.IsZero()).To(BeTrue())
		})
	}
}
