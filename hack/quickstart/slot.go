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

// slot is the folder of one run. Each run uses the lowest free number, so that the paths of a
// single run are always the same. An active slot is locked by its process, and the operating
// system releases the lock when the process exits.
type slot struct {
	number int
	dir    string
	lock   *os.File
}

// acquire locks the first free slot below base, and empties it. It kills the leftover processes of
// killed runs, also in the other slots.
func acquire(base string) (*slot, error) {
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, err
	}
	var own *slot
	for number := 1; own == nil || isUsed(base, number); number++ {
		s, err := lockSlot(base, number)
		switch {
		case err != nil:
			return nil, err
		case s == nil: // active
		case own == nil:
			own = s
		default:
			_ = s.sweep() // the run that acquires the slot retries, and reports errors
			s.lock.Close()
		}
	}
	return own, errors.Join(own.sweep(), os.RemoveAll(own.dir), os.MkdirAll(own.dir, 0o755))
}

// activeSlots returns the slots (numbered folders below base, one for each concurrent run) that are
// locked by a running process.
func activeSlots(base string) ([]slot, error) {
	var active []slot
	for number := 1; isUsed(base, number); number++ {
		s, err := lockSlot(base, number)
		switch {
		case err != nil:
			return nil, err
		case s == nil:
			active = append(active, slot{number: number, dir: slotDir(base, number)})
		default:
			s.lock.Close()
		}
	}
	return active, nil
}

// lockSlot locks a slot. It returns nil if another run has locked it.
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
	return nil, fmt.Errorf("locking %s: %w", lock.Name(), err)
}

// isUsed reports whether any run has used the slot: its lock file is never removed.
func isUsed(base string, number int) bool {
	_, err := os.Stat(slotDir(base, number) + ".lock")
	return err == nil
}

func slotDir(base string, number int) string { return filepath.Join(base, strconv.Itoa(number)) }

// release unlocks the slot. With keep, its files stay until another run acquires it.
func (s *slot) release(keep bool) error {
	var err error
	if !keep {
		err = os.RemoveAll(s.dir)
	}
	return errors.Join(err, s.lock.Close())
}

// sweepTimeout bounds the wait until killed processes have exited.
const sweepTimeout = 5 * time.Second

// sweep kills the processes of the slot, and waits until they have exited.
func (s *slot) sweep() error {
	kill := func(context.Context) (bool, error) {
		pids, err := leftovers(s.dir)
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return false, fmt.Errorf("killing process %d of an earlier run: %w", pid, err)
			}
		}
		return len(pids) == 0, err
	}
	if err := wait.PollUntilContextTimeout(context.Background(), 20*time.Millisecond, sweepTimeout, true, kill); err != nil {
		return fmt.Errorf("processes in %s do not exit: %w", s.dir, err)
	}
	return nil
}

// programs are the programs that a run starts. Other programs are never killed, even if they use
// the folder.
var programs = []string{"etcd", "kube-apiserver", "registry", "image-reflector-controller"}

// leftovers returns the process IDs of these programs whose command line contains the folder.
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

// commandLines returns the command line of every process, by process ID. It uses ps if there is no
// /proc.
func commandLines() (map[int]string, error) {
	commands := map[int]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if line, err := os.ReadFile(file); err == nil { // err: it has just exited
			commands[pid] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	if len(files) > 0 {
		return commands, nil
	}
	output, err := exec.Command("ps", "-axww", "-o", "pid=,command=").Output()
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	for line := range strings.Lines(string(output)) {
		id, command, _ := strings.Cut(strings.TrimSpace(line), " ")
		if pid, err := strconv.Atoi(id); err == nil {
			commands[pid] = strings.TrimSpace(command)
		}
	}
	return commands, nil
}
