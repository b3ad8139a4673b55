// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// minSamples is the number of samples needed to evaluate growth.
const minSamples = 12

// series is one metric over time.
type series struct {
	name, unit string
	// fraction and amount bound growth: the last third may exceed the first by this fraction
	// of it plus this amount. More counts as a leak.
	fraction, amount float64
	// gauge is the name of the controller's gauge.
	gauge  string
	values []float64
}

// floor returns the lower quartile. It rises with a leak, but not with the requests that a
// fault keeps open.
func floor(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/4]
}

// evaluate returns the floors of the first and the last third, and the bound of the last. It
// returns an error if the last exceeds the bound, or if there are too few samples.
func (s series) evaluate() (first, last, bound float64, err error) { //nolint:nonamedreturns // three are numbers
	if len(s.values) < minSamples {
		return 0, 0, 0, fmt.Errorf("%s: %d samples are too few to evaluate growth", s.name, len(s.values))
	}
	third := len(s.values) / 3
	first, last = floor(s.values[:third]), floor(s.values[len(s.values)-third:])
	bound = first*(1+s.fraction) + s.amount
	if last > bound {
		err = fmt.Errorf("%s grew from %.1f to %.1f %s, the bound is %.1f", s.name, first, last, s.unit, bound)
	}
	return first, last, bound, err
}

// unexpectedErrors returns the lines of the controller's log that a registry's faults don't
// explain: panics, and errors other than those of a reconcile.
func unexpectedErrors(log string) []string {
	var found []string
	for line := range strings.Lines(log) {
		isError := strings.Contains(line, "\tERROR\t") && !strings.Contains(line, "\tReconciler error\t")
		if isError || strings.HasPrefix(line, "panic:") || strings.Contains(line, "Observed a panic") {
			found = append(found, "log: "+strings.TrimSpace(line))
		}
	}
	return found
}
