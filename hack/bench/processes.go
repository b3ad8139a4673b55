// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/procfs"
)

// cpuOf returns the CPU seconds used by this process, which contains the registries, and by its
// children, by the name of the program. It returns none where there is no /proc.
func cpuOf() map[string]float64 {
	processes, _ := procfs.AllProcs()
	used := map[string]float64{}
	for _, process := range processes {
		stat, err := process.Stat()
		if err == nil && (stat.PID == os.Getpid() || stat.PPID == os.Getpid()) { // an error: it has ended
			used[stat.Comm] += stat.CPUTime()
		}
	}
	return used
}

// cpuAndPeak returns the CPU seconds that a process has used and its peak memory in bytes, zero
// where it has ended.
func cpuAndPeak(pid int) (float64, float64) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return 0, 0
	}
	stat, _ := process.Stat()
	status, _ := process.NewStatus()
	return stat.CPUTime(), float64(status.VmHWM)
}

// since returns what was used since before.
func since(before, now map[string]float64) map[string]float64 {
	used := map[string]float64{}
	for name, value := range now {
		used[name] = value - before[name]
	}
	return used
}

// shares formats CPU seconds by program.
func shares(used map[string]float64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(used)) {
		parts = append(parts, fmt.Sprintf("%s %.1f s", name, used[name]))
	}
	return strings.Join(parts, ", ")
}
