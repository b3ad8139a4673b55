// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// minSamples is the number of samples needed to evaluate growth.
	minSamples = 12
	// settleTime is how long the caches of a new process fill. Before that, a slope is no leak:
	// client-go's recorder caches the first 25 events about each object, and then few.
	settleTime = 8 * time.Minute
)

// series is one metric of one process over time.
type series struct {
	name, unit string
	// fraction and amount bound growth: the last third may exceed the first by this fraction
	// of it plus this amount. More counts as a leak.
	fraction, amount float64
	// drift bounds the slope in the second half of the run: the growth that it amounts to in that
	// time. A leak that is too slow for the other bound exceeds it, and noise does not. It does not
	// apply to a process that is younger than settleTime.
	drift float64
	// gauge is the name of the controller's gauge.
	gauge string
	// times are those of the values, since the start of the run.
	times  []time.Duration
	values []float64
}

// add adds a sample.
func (s *series) add(at time.Duration, value float64) {
	s.times, s.values = append(s.times, at), append(s.values, value)
}

// growth is the growth of a series: the floors of its first and its last third, the bound of
// the last one, and the slope per hour with its bound, which is infinite if it does not apply.
type growth struct{ first, last, bound, slope, maxSlope float64 }

// floor returns the lower quartile. It rises with a leak, but not with the requests that a
// fault keeps open.
func floor(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/4]
}

// evaluate returns the growth, with the slope of the samples since a time. It returns an error
// if the growth exceeds a bound, or if there are too few samples.
func (s *series) evaluate(since time.Duration) (growth, error) {
	half, _ := slices.BinarySearch(s.times, since)
	if len(s.values)-half < minSamples {
		return growth{}, fmt.Errorf("%s: %d samples are too few to evaluate growth", s.name, len(s.values)-half)
	}
	third := len(s.values) / 3
	g := growth{first: floor(s.values[:third]), last: floor(s.values[len(s.values)-third:]), slope: slope(s.times[half:], s.values[half:])}
	g.bound = g.first*(1+s.fraction) + s.amount
	g.maxSlope = math.Inf(1)
	if s.times[half]-s.times[0] >= settleTime {
		g.maxSlope = s.drift / (s.times[len(s.times)-1] - s.times[half]).Hours()
	}
	var errs []error
	if g.last > g.bound {
		errs = append(errs, fmt.Errorf("%s grew from %.1f to %.1f %s, the bound is %.1f", s.name, g.first, g.last, s.unit, g.bound))
	}
	if g.slope > g.maxSlope {
		errs = append(errs, fmt.Errorf("%s grows by %.1f %s an hour, the bound is %.1f", s.name, g.slope, s.unit, g.maxSlope))
	}
	return g, errors.Join(errs...)
}

// slope returns the growth per hour: the median of the slopes between all pairs of samples, which
// is the estimator of Theil and Sen (https://en.wikipedia.org/wiki/Theil-Sen_estimator). Samples
// during a fault, if they are less than 29 %, do not distort it.
func slope(times []time.Duration, values []float64) float64 {
	var slopes []float64
	for i := range values {
		for j := range i {
			if times[i] > times[j] {
				slopes = append(slopes, (values[i]-values[j])/(times[i]-times[j]).Hours())
			}
		}
	}
	if len(slopes) == 0 {
		return 0
	}
	return median(slopes)
}

// expectedErrors are parts of log lines about errors that the faults of a registry and the end of
// a process explain. A manager with leader election always ends with the second one.
var expectedErrors = []string{"\tReconciler error\t", "error received after stop sequence was engaged", "context canceled"}

// unexpectedErrors returns the lines of the controller's log that are panics, or errors that are
// not expected.
func unexpectedErrors(log string) []string {
	var found []string
	for line := range strings.Lines(log) {
		isError := strings.Contains(line, "\tERROR\t") &&
			!slices.ContainsFunc(expectedErrors, func(part string) bool { return strings.Contains(line, part) })
		if isError || strings.HasPrefix(line, "panic:") || strings.Contains(line, "Observed a panic") {
			found = append(found, "log: "+strings.TrimSpace(line))
		}
	}
	return found
}
