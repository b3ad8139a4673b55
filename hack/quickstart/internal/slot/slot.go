// SPDX-License-Identifier: Apache-2.0

// Package slot gives each run a numbered folder of its own. The first run has
// number 1, so that its paths are always the same; one beside it has the next.
// A run that was killed leaves processes and files: whoever comes next ends the
// one and removes the other.
package slot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// maxSlots bounds the search for a free one.
const maxSlots = 100

// Slot is the folder of one run. It is held by a lock of the operating system,
// which ends with the process that has it.
type Slot struct {
	// Number counts from 1.
	Number int
	// Dir is the folder.
	Dir string

	lock *os.File
}

// Acquire returns the first slot below base that no living run holds, emptied.
func Acquire(base string) (*Slot, error) {
	base, err := filepath.Abs(base)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, err
	}
	sweepAll(base)
	for number := 1; number <= maxSlots; number++ {
		slot, err := try(base, number)
		if err != nil {
			return nil, err
		}
		if slot != nil {
			return slot, slot.reset()
		}
	}
	return nil, fmt.Errorf("more than %d runs are in %s", maxSlots, base)
}

// Held returns the slots below base that living runs hold.
func Held(base string) ([]Slot, error) {
	base, err := filepath.Abs(base)
	if err != nil {
		return nil, err
	}
	var held []Slot
	for _, number := range numbers(base) {
		slot, err := try(base, number)
		if err != nil {
			return nil, err
		}
		if slot == nil {
			held = append(held, Slot{Number: number, Dir: dir(base, number)})
			continue
		}
		slot.lock.Close()
	}
	return held, nil
}

// Sweep kills what still runs in the slot: for a run that can't wait.
func (s *Slot) Sweep() error { return killLeftovers(s.Dir) }

// Release gives the slot back. With keep, its files stay until somebody else
// needs it.
func (s *Slot) Release(keep bool) error {
	var err error
	if !keep {
		err = os.RemoveAll(s.Dir)
	}
	return errors.Join(err, s.lock.Close())
}

func (s *Slot) reset() error {
	return errors.Join(s.Sweep(), os.RemoveAll(s.Dir), os.MkdirAll(s.Dir, 0o755))
}

// sweepAll kills what dead runs left in slots that are not needed now.
func sweepAll(base string) {
	for _, number := range numbers(base) {
		if slot, err := try(base, number); err == nil && slot != nil {
			_ = slot.Sweep() // whoever gets the slot tries again, and tells
			slot.lock.Close()
		}
	}
}

// try returns the slot, or nil where another run holds it.
func try(base string, number int) (*Slot, error) {
	lock, err := os.OpenFile(dir(base, number)+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return &Slot{Number: number, Dir: dir(base, number), lock: lock}, nil
	}
	lock.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("%s can't be locked: %w", lock.Name(), err)
}

func numbers(base string) []int {
	var found []int
	for number := 1; number <= maxSlots; number++ {
		if _, err := os.Stat(dir(base, number) + ".lock"); err == nil {
			found = append(found, number)
		}
	}
	return found
}

func dir(base string, number int) string { return filepath.Join(base, strconv.Itoa(number)) }
