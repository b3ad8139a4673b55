// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// minSamples is how many samples are needed to judge growth.
const minSamples = 12

// series is one figure over time.
type series struct {
	name, unit string
	// part and amount bound growth: the last third may be above the first by a part
	// of that and by an amount. More counts as a leak.
	part, amount float64
	// gauge is what the controller's gauge is called that has the figure.
	gauge  string
	values []float64
}

// floor returns what a figure is when nothing special happens: its lower quartile. It
// rises with a leak, and not with the requests that a fault keeps open.
func floor(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/4]
}

// judge returns the floors of the first third and of the last, what the last may be, and
// an error where it is more, or where there are too few samples.
func (s series) judge() (first, last, bound float64, err error) { //nolint:nonamedreturns // three are numbers
	if len(s.values) < minSamples {
		return 0, 0, 0, fmt.Errorf("%s: %d samples are too few to judge", s.name, len(s.values))
	}
	third := len(s.values) / 3
	first, last = floor(s.values[:third]), floor(s.values[len(s.values)-third:])
	bound = first*(1+s.part) + s.amount
	if last > bound {
		err = fmt.Errorf("%s grew from %.1f to %.1f %s, and may be %.1f", s.name, first, last, s.unit, bound)
	}
	return first, last, bound, err
}

// judgeLog returns the lines of the controller's log that are no consequence of a
// registry's faults: errors of anything but a reconcile, and panics.
func judgeLog(log string) []string {
	var wrong []string
	for line := range strings.Lines(log) {
		isError := strings.Contains(line, "\tERROR\t") && !strings.Contains(line, "\tReconciler error\t")
		if isError || strings.HasPrefix(line, "panic:") || strings.Contains(line, "Observed a panic") {
			wrong = append(wrong, "log: "+strings.TrimSpace(line))
		}
	}
	return wrong
}
