// SPDX-License-Identifier: Apache-2.0

package assets

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

func TestLock_WaitsUntilReleasedOrCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	release, err := lock(t.Context(), path, func() { t.Error("it waited for a free lock") })
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	waits := 0
	_, err = lock(ctx, path, func() { waits++; cancel() })
	if !errors.Is(err, context.Canceled) || waits != 1 {
		t.Errorf("lock = %v, reported %d waits; want context.Canceled after one", err, waits)
	}

	release()
	release, err = lock(t.Context(), path, func() { t.Error("it waited for a released lock") })
	if err != nil {
		t.Fatal(err)
	}
	release()
}
