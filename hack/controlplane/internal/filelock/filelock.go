// SPDX-License-Identifier: Apache-2.0

// Package filelock lets one process at a time do something, on one machine. The kernel frees a lock with the process
// that held it, so a crash leaves nothing to clean up.
package filelock

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// poll is how often a held lock is tried again. A blocking flock could not be cancelled.
const poll = 100 * time.Millisecond

// Acquire locks a file, which it creates where needed, and returns how to release it. Where another process holds the
// lock, waiting is called once.
func Acquire(ctx context.Context, path string, waiting func()) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := lock(ctx, file, waiting); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	// Closing frees the lock. The file stays: removing it would let two processes lock two files of one name.
	return func() { _ = file.Close() }, nil
}

func lock(ctx context.Context, file *os.File, waiting func()) error {
	if held, err := tryLock(file); held || err != nil {
		return err
	}
	waiting()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			if held, err := tryLock(file); held || err != nil {
				return err
			}
		}
	}
}

func tryLock(file *os.File) (bool, error) {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return false, nil
	}
	return err == nil, err
}
