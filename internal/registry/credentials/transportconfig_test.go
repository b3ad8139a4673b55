// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"strconv"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

func TestDeprecatedKeys_BoundWarnings(t *testing.T) {
	o := newDeprecatedKeys(func(*v1.ImageRepository, string) {})
	repo := &v1.ImageRepository{}
	for i := range 2*maxWarned + 10 {
		repo.UID = types.UID(strconv.Itoa(i))
		o.report(repo, &corev1.Secret{}, []string{"caFile"})
	}
	NewWithT(t).Expect(o.warned.Len()).To(BeNumerically("<=", maxWarned), "remembered warnings")
}
