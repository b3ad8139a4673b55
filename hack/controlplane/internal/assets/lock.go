// SPDX-License-Identifier: Apache-2.0

package assets

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// lockInterval is the time between two attempts to take a lock. A blocking flock could not be cancelled.
const lockInterval = 100 * time.Millisecond

// lock locks a file, which it creates where needed, for one process at a time, and returns how to release it. Where another
// one holds the lock, waiting is called once. The kernel frees a lock with the process that held it.
func lock(ctx context.Context, path string, waiting func()) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for attempt := 0; ; attempt++ {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			// The file stays: if it was removed, two processes could lock two files of one name.
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
