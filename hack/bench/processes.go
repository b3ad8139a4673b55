// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ticks is how many units of CPU time Linux counts a second.
const ticks = 100

// cpuOf returns the CPU seconds that this process, which is also the registry
// and the user, and the ones it started have used, by the name of the program. It
// returns none where there is no /proc.
func cpuOf() map[string]float64 {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	used := map[string]float64{}
	for _, file := range files {
		p, err := readProcess(file)
		if err != nil {
			continue // it has ended
		}
		if self := strconv.Itoa(os.Getpid()); p.pid == self || p.parent == self {
			used[p.name] += p.cpu
		}
	}
	return used
}

// cpuOfProcess returns the CPU seconds that a process has used.
func cpuOfProcess(pid int) float64 {
	p, _ := readProcess(fmt.Sprintf("/proc/%d/stat", pid))
	return p.cpu
}

type process struct {
	name, pid, parent string
	cpu               float64
}

func readProcess(file string) (process, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return process{}, err
	}
	// the name is in parentheses and may have spaces: proc_pid_stat(5)
	text := string(content)
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	fields := strings.Fields(text[end+1:])
	return process{
		name: text[open+1 : end], pid: strings.TrimSpace(text[:open]), parent: fields[1],
		cpu: number(fields[11])/ticks + number(fields[12])/ticks,
	}, nil
}

func number(text string) float64 {
	value, _ := strconv.ParseFloat(text, 64)
	return value
}

// since returns what was used since before.
func since(before, now map[string]float64) map[string]float64 {
	used := map[string]float64{}
	for name, value := range now {
		used[name] = value - before[name]
	}
	return used
}

// shares says who used how much.
func shares(used map[string]float64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(used)) {
		parts = append(parts, fmt.Sprintf("%s %.1f s", name, used[name]))
	}
	return strings.Join(parts, ", ")
}

// peakOf returns the most memory that a process has had so far, in bytes.
func peakOf(pid int) float64 {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(content)) {
		if value, found := strings.CutPrefix(line, "VmHWM:"); found {
			return 1024 * number(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
		}
	}
	return 0
}
