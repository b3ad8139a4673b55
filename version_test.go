// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"os"
	"os/exec"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestVersion(t *testing.T) {
	g := NewWithT(t)
	var out strings.Builder
	printVersion(&out)
	g.Expect(out.String()).To(MatchRegexp(`^image-reflector-controller dev \(commit unknown, go\S+, \w+/\w+\)\n$`))
}

// TestAuthoritiesOfTheBinary looks for certificate authorities where the system
// has none, as in the image. The process must not have looked before, so it is
// another one.
func TestAuthoritiesOfTheBinary(t *testing.T) {
	g := NewWithT(t)
	const nowhere = "/no/such/path"
	if os.Getenv("SSL_CERT_FILE") != nowhere {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+nowhere, "SSL_CERT_DIR="+nowhere)
		out, err := cmd.CombinedOutput()
		g.Expect(err).NotTo(HaveOccurred(), string(out))
		return
	}
	authorities, err := x509.SystemCertPool()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(authorities.Equal(x509.NewCertPool())).To(BeFalse(), "no registry would be trusted")
}
