// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"strconv"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

func TestOldKeys_WarningsAreBounded(t *testing.T) {
	o := newOldKeys(func(*v1.ImageRepository, string) {})
	for i := range 2*maxWarned + 10 {
		o.isNew(types.UID(strconv.Itoa(i)), "x")
	}
	if len(o.warned) > maxWarned {
		t.Errorf("%d are remembered", len(o.warned))
	}
}
