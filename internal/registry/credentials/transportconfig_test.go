/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

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
