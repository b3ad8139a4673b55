// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"testing"

	"github.com/fluxcd/image-reflector-controller/internal/store"
	"github.com/fluxcd/image-reflector-controller/internal/store/storetest"
)

func TestStore_PassesConformanceTests(t *testing.T) {
	storetest.Run(t, func(t testing.TB, options store.Options) *store.Store {
		options.Report = func(r store.Report) { t.Errorf("unexpected report: %s", r) }
		return store.New(t.TempDir(), options)
	})
}

func TestStore_PassesConformanceTestsWithIndexes(t *testing.T) {
	storetest.Run(t, func(t testing.TB, options store.Options) *store.Store {
		options.Report = func(r store.Report) { t.Errorf("unexpected report: %s", r) }
		return store.IndexAllFacts(store.New(t.TempDir(), options))
	})
}
