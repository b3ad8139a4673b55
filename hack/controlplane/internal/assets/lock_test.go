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
	release, err := lock(t.Context(), path, func() { t.Error("nobody holds the lock, yet it waited") })
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	told := 0
	_, err = lock(ctx, path, func() { told++; cancel() })
	if !errors.Is(err, context.Canceled) || told != 1 {
		t.Errorf("lock = %v, told %d times; want it cancelled after telling once", err, told)
	}

	release()
	release, err = lock(t.Context(), path, func() { t.Error("a released lock is still held") })
	if err != nil {
		t.Fatal(err)
	}
	release()
}
