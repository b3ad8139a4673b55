// SPDX-License-Identifier: Apache-2.0

package slot

import (
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
)

// programs are what a run starts. Nothing else is ever killed, whatever folder
// it works in.
var programs = []string{"etcd", "kube-apiserver", "registry", "image-reflector-controller"}

// Leftovers returns the ids of the programs that run with files in a folder.
func Leftovers(dir string) ([]int, error) {
	commands, err := commandLines()
	if err != nil {
		return nil, err
	}
	var found []int
	for pid, line := range commands {
		program, _, _ := strings.Cut(line, " ")
		if slices.Contains(programs, filepath.Base(program)) && strings.Contains(line, dir+"/") {
			found = append(found, pid)
		}
	}
	return found, nil
}

// goneTimeout bounds the wait for a killed process to vanish.
const goneTimeout = 5 * time.Second

func killLeftovers(dir string) error {
	left, err := Leftovers(dir)
	if err != nil {
		return err
	}
	for _, pid := range left {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("process %d of an earlier run can't be ended: %w", pid, err)
		}
	}
	return awaitGone(dir, left)
}

// awaitGone waits until none of the killed processes is left.
func awaitGone(dir string, left []int) error {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(goneTimeout)
	for len(left) > 0 {
		select {
		case <-deadline:
			return fmt.Errorf("processes %v of an earlier run don't end", left)
		case <-poll.C:
		}
		var err error
		if left, err = Leftovers(dir); err != nil {
			return err
		}
	}
	return nil
}

// commandLines returns the command line of every process, by id.
func commandLines() (map[int]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return psCommandLines()
	}
	commands := map[int]string{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if line, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline")); err == nil {
			commands[pid] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return commands, nil
}

// psCommandLines does the same where there is no /proc.
func psCommandLines() (map[int]string, error) {
	output, err := exec.Command("ps", "-axww", "-o", "pid=,command=").Output()
	if err != nil {
		return nil, fmt.Errorf("processes can't be listed: %w", err)
	}
	commands := map[int]string{}
	for line := range strings.Lines(string(output)) {
		id, command, _ := strings.Cut(strings.TrimSpace(line), " ")
		if pid, err := strconv.Atoi(id); err == nil {
			commands[pid] = strings.TrimSpace(command)
		}
	}
	return commands, nil
}
