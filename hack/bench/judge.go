// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// minSamples is how many samples are needed to judge growth.
const minSamples = 12

// series is one figure over time.
type series struct {
	name   string
	unit   string
	values []float64
	// The last third may be above the first by a part of that and by an amount:
	// more counts as a leak.
	part, amount float64
}

// floor is what a figure is when nothing special happens: its lower quartile. It
// rises with a leak, and not with the requests that a fault keeps open.
func floor(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/4]
}

// thirds returns the floors of the first third and the last.
func (s series) thirds() (first, last float64) { //nolint:nonamedreturns // both are numbers
	third := max(1, len(s.values)/3)
	return floor(s.values[:third]), floor(s.values[len(s.values)-third:])
}

// bound is what the last third may be.
func (s series) bound() float64 {
	first, _ := s.thirds()
	return first*(1+s.part) + s.amount
}

// slope returns the growth in an hour, as linear regression has it, of samples
// that are step apart.
func (s series) slope(step time.Duration) float64 {
	n := float64(len(s.values))
	var sumX, sumY, sumXY, sumXX float64
	for i, y := range s.values {
		x := float64(i) * step.Hours()
		sumX, sumY, sumXY, sumXX = sumX+x, sumY+y, sumXY+x*y, sumXX+x*x
	}
	if d := n*sumXX - sumX*sumX; d != 0 {
		return (n*sumXY - sumX*sumY) / d
	}
	return 0
}

// judge returns what is wrong with the series, nothing where none grows.
func judge(all []series) []string {
	var wrong []string
	for _, s := range all {
		if len(s.values) < minSamples {
			wrong = append(wrong, fmt.Sprintf("%s: %d samples are too few to judge", s.name, len(s.values)))
			continue
		}
		if first, last := s.thirds(); last > s.bound() {
			wrong = append(wrong, fmt.Sprintf("%s grew from %.1f to %.1f %s, and may be %.1f", s.name, first, last, s.unit, s.bound()))
		}
	}
	return wrong
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
