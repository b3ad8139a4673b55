// SPDX-License-Identifier: Apache-2.0

package assets

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// lockInterval is the time between two attempts to acquire a lock. A blocking flock can't be
// canceled.
const lockInterval = 100 * time.Millisecond

// lock creates the file if needed, locks it exclusively, and returns a function that releases it.
// If another process has locked it, lock first calls the function waiting, then waits until the
// lock is free. The kernel releases the lock when the process exits.
func lock(ctx context.Context, path string, waiting func()) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for attempt := 0; ; attempt++ {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			// The file stays: if it were removed, two processes could lock two files of the same
			// name.
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(err, file.Close())
		}
		if attempt == 0 {
			waiting()
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		case <-time.After(lockInterval):
		}
	}
}
