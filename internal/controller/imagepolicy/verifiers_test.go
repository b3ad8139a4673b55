// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// TestSignatureVerifiers_ReturnOtherErrors tests that an error that is not about the rule, such
// as a failure of CEL, does not stall the policy, and does not name its spec.
func TestSignatureVerifiers_ReturnOtherErrors(t *testing.T) {
	broken := errors.New("broken")
	err := (&SignatureVerifiers{}).classifyRuleError(&v1.ImagePolicy{}, &corev1.Secret{}, broken)
	NewWithT(t).Expect(err).To(BeIdenticalTo(broken))
}
