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

package tagstore_test

import (
	"testing"

	"github.com/fluxcd/image-reflector-controller/internal/tagstore"
	"github.com/fluxcd/image-reflector-controller/internal/tagstore/tagstoretest"
)

func TestMemory(t *testing.T) {
	tagstoretest.Run(t, func(_ testing.TB, opts ...tagstore.Option) tagstore.Store { return tagstore.NewMemory(opts...) })
}

func TestBolt(t *testing.T) {
	tagstoretest.Run(t, func(t testing.TB, opts ...tagstore.Option) tagstore.Store {
		store, err := tagstore.OpenBolt(t.TempDir(), append(opts, tagstore.WithReport(func(r tagstore.Report) {
			if r.Kind != tagstore.Compacted {
				t.Errorf("unexpected report: %s", r)
			}
		}))...)
		if err != nil {
			t.Fatal(err)
		}
		return store
	})
}
