// SPDX-License-Identifier: Apache-2.0

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
