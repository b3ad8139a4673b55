// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// TestNobodyReadsTheControllersCredentials tests that whoever writes an
// ImageRepository can't bring both a proxy and the authority that it needs to
// read what passes, where what passes is not theirs.
func TestNobodyReadsTheControllersCredentials(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AK")
	t.Setenv("AWS_SECRET_ACCESS_KEY", canary)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CA_BUNDLE", "") // of this machine
	c := startClouds(t)
	ca := dataSecret("ca", map[string][]byte{"ca.crt": validPair(t).cert})
	g := newCloudGetter(t, cloudCluster(nil, c.secret(), ca), nil)
	for name, tc := range map[string]struct {
		account   string
		cert      bool
		wantError bool
	}{
		"proxy and authority":             {cert: true, wantError: true},
		"proxy":                           {},
		"their own account":               {account: "aws", cert: true},
		"their own account and the proxy": {account: "aws"},
	} {
		spec := func(s *v1.ImageRepositorySpec) {
			cloudSpec(imageAWS, "aws", tc.account)(s)
			if tc.cert {
				s.CertSecretRef = secretRef("ca")
			}
		}
		before := len(c.asked)
		_, err := g.AuthOptions(t.Context(), repository(spec))
		NewWithT(t).Expect(err != nil).To(Equal(tc.wantError), name)
		if tc.wantError {
			checkError(t, err, v1.AuthenticationFailedReason, `the proxy of Secret "proxy" and the ca.crt of Secret "ca" together could read`)
			NewWithT(t).Expect(c.asked).To(HaveLen(before), "%s: the cloud was asked", name)
		}
	}
}
