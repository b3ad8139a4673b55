// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// slot is the folder of one run. The first run has number 1, so that its paths are
// always the same, and one beside it the next number. A slot is held by a lock of the
// operating system, which ends with the process that has it.
type slot struct {
	number int
	dir    string
	lock   *os.File
}

// acquire returns the first slot below base that no living run holds, emptied. What
// killed runs left running is killed, in the other slots too.
func acquire(base string) (*slot, error) {
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, err
	}
	var mine *slot
	for number := 1; mine == nil || isUsed(base, number); number++ {
		s, err := lockSlot(base, number)
		switch {
		case err != nil:
			return nil, err
		case s == nil: // another run holds it
		case mine == nil:
			mine = s
		default:
			_ = s.sweep() // the run that gets the slot tries again, and fails where this fails
			s.lock.Close()
		}
	}
	return mine, errors.Join(mine.sweep(), os.RemoveAll(mine.dir), os.MkdirAll(mine.dir, 0o755))
}

// heldSlots returns the slots below base that living runs hold.
func heldSlots(base string) ([]slot, error) {
	var held []slot
	for number := 1; isUsed(base, number); number++ {
		s, err := lockSlot(base, number)
		switch {
		case err != nil:
			return nil, err
		case s == nil:
			held = append(held, slot{number: number, dir: slotDir(base, number)})
		default:
			s.lock.Close()
		}
	}
	return held, nil
}

// lockSlot returns a slot, or nil where another run holds it.
func lockSlot(base string, number int) (*slot, error) {
	lock, err := os.OpenFile(slotDir(base, number)+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return &slot{number: number, dir: slotDir(base, number), lock: lock}, nil
	}
	lock.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("%s can't be locked: %w", lock.Name(), err)
}

// isUsed reports whether a run has had the slot: its lock file is never removed.
func isUsed(base string, number int) bool {
	_, err := os.Stat(slotDir(base, number) + ".lock")
	return err == nil
}

func slotDir(base string, number int) string { return filepath.Join(base, strconv.Itoa(number)) }

// release gives the slot back. With keep, its files stay until another run needs it.
func (s *slot) release(keep bool) error {
	var err error
	if !keep {
		err = os.RemoveAll(s.dir)
	}
	return errors.Join(err, s.lock.Close())
}

// sweepTimeout bounds the wait for killed processes to end.
const sweepTimeout = 5 * time.Second

// sweep kills what runs in the slot, and waits until it is gone.
func (s *slot) sweep() error {
	kill := func(context.Context) (bool, error) {
		left, err := leftovers(s.dir)
		for _, pid := range left {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return false, fmt.Errorf("process %d of an earlier run can't be ended: %w", pid, err)
			}
		}
		return len(left) == 0, err
	}
	if err := wait.PollUntilContextTimeout(context.Background(), 20*time.Millisecond, sweepTimeout, true, kill); err != nil {
		return fmt.Errorf("what runs in %s does not end: %w", s.dir, err)
	}
	return nil
}

// programs are what a run starts. No other program is ever killed, whatever folder
// it works in.
var programs = []string{"etcd", "kube-apiserver", "registry", "image-reflector-controller"}

// leftovers returns the ids of the programs that run with files in a folder.
func leftovers(dir string) ([]int, error) {
	commands, err := commandLines()
	var found []int
	for pid, line := range commands {
		program, _, _ := strings.Cut(line, " ")
		if slices.Contains(programs, filepath.Base(program)) && strings.Contains(line, dir+"/") {
			found = append(found, pid)
		}
	}
	return found, err
}

// commandLines returns the command line of every process, by its id. Where there is
// no /proc, ps lists them.
func commandLines() (map[int]string, error) {
	commands := map[int]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if line, err := os.ReadFile(file); err == nil { // otherwise it has just ended
			commands[pid] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	if len(files) > 0 {
		return commands, nil
	}
	output, err := exec.Command("ps", "-axww", "-o", "pid=,command=").Output()
	if err != nil {
		return nil, fmt.Errorf("processes can't be listed: %w", err)
	}
	for line := range strings.Lines(string(output)) {
		id, command, _ := strings.Cut(strings.TrimSpace(line), " ")
		if pid, err := strconv.Atoi(id); err == nil {
			commands[pid] = strings.TrimSpace(command)
		}
	}
	return commands, nil
}
