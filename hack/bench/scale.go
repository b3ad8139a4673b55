// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"text/template"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
)

const (
	// tagLists is the number of different tag lists.
	tagLists = 500
	// usualInterval is the interval for which the steady load is computed.
	usualInterval = 10 * time.Minute
	// scaleAge is the minimum age of policies with gates. The tags that were created at the start
	// are pending, each with a requeue after this time.
	scaleAge = 72 * time.Hour
)

// size is the measurement of one number of repositories.
type size struct {
	pairs  float64
	gated  int
	cold   coldStart
	steady counters
	window time.Duration
	idle   float64 // CPU seconds per second without scans
	scrape float64 // CPU seconds of reading the metrics, without scans
}

// columns are printed for each size and, if they have a title for the plot, drawn.
var columns = []struct {
	head, format, flux, plot string
	value                    func(size) float64
}{
	{"cold", "%.1f s", "598 s", "cold start, seconds", func(z size) float64 { return z.cold.duration.Seconds() }},
	{"CPU", "%.1f s", "200 s", "cold start, seconds of CPU", func(z size) float64 { return z.cold.cpu }},
	{"writes", "%.1f a pair", "13.8 a pair", "", func(z size) float64 { return z.cold.writes / z.pairs }},
	{"requests", "%.1f a pair", "", "", func(z size) float64 { return z.cold.requests / z.pairs }},
	{"peak memory", "%.0f MiB", "1172 MiB", "peak memory, MiB", func(z size) float64 { return mebi(max(z.cold.peak, z.steady.peak)) }},
	{"scan: CPU", "%.2f ms", "", "an unchanged scan, milliseconds of CPU", size.scanCPU},
	{"requests", "%.2f", "", "", func(z size) float64 { return z.steady.requests / z.steady.scans }},
	{"writes", "%.2f", "", "", func(z size) float64 { return z.steady.writes / z.steady.scans }},
	{"at " + usualInterval.String() + ": CPU", "%.1f %%", "25 %", "", func(z size) float64 { return 100 * z.share() }},
	{"metrics: CPU", "%.0f ms", "", "", func(z size) float64 { return 1000 * z.scrape }},
}

// share returns the fraction of a processor that the steady load takes at the usual
// interval: the scans that are due, plus the idle controller.
func (z size) share() float64 {
	scan := (z.steady.cpu - z.idle*z.window.Seconds()) / z.steady.scans
	return z.idle + scan*z.pairs/usualInterval.Seconds()
}

// scanCPU returns the CPU time of an unchanged scan, in milliseconds.
func (z size) scanCPU() float64 { return 1000 * z.steady.cpu / z.steady.scans }

// compared is the measurement of the controller and, if there is a baseline, of that.
type compared []size

// scale measures how cost grows with the number of repositories, and then the largest number with
// gates.
func (s settings) scale(ctx context.Context) error {
	var sizes []compared
	for _, pairs := range s.sizes {
		measured, err := s.measureSizes(ctx, pairs, 0)
		if err != nil {
			return err
		}
		sizes = append(sizes, measured)
	}
	if s.plot != "" {
		if err := drawSizes(s.plot, sizes); err != nil {
			return err
		}
	}
	if largest := slices.Max(s.sizes); s.gated > 0 {
		measured, err := s.measureSizes(ctx, largest, min(s.gated, largest))
		if err != nil {
			return err
		}
		sizes = append(sizes, measured)
	}
	return s.printSizes(sizes)
}

// measureSizes measures a number of repositories.
func (s settings) measureSizes(ctx context.Context, pairs, gated int) (compared, error) {
	controllers := []string{""}
	if s.baseline != "" {
		controllers = append(controllers, s.baseline)
	}
	var measured compared
	for _, controller := range controllers {
		l := load{
			pairs: pairs, tags: s.tags, kinds: tagLists, hosts: s.hosts, latency: s.latency, controller: controller,
			gated: gated, minimumAge: scaleAge,
		}
		err := withFixture(ctx, l, 20*time.Minute, func(ctx context.Context, f *fixture) error {
			z, err := measureSize(ctx, f)
			measured = append(measured, z)
			return err
		})
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "measured: %s\n", measured[len(measured)-1].name())
	}
	return measured, nil
}

// name returns the label of a row: the number of repositories, and of policies with gates.
func (z size) name() string {
	if z.gated == 0 {
		return fmt.Sprintf("%.0f", z.pairs)
	}
	return fmt.Sprintf("%.0f, of which %d with gates", z.pairs, z.gated)
}

func measureSize(ctx context.Context, f *fixture) (size, error) {
	z := size{pairs: float64(f.load.pairs), gated: f.load.gated}
	var err error
	if z.cold, err = f.measureColdStart(ctx); err != nil {
		return z, err
	}
	if err := wait(ctx, idleTime); err != nil { // events are still being published
		return z, err
	}
	idle, err := f.measure(ctx, idleTime)
	if err != nil {
		return z, err
	}
	z.idle, z.scrape = idle.cpu/idleTime.Seconds(), idle.scrape
	// 200 scans a second are more than enough to measure one
	interval := max(5*time.Second, time.Duration(f.load.pairs)*time.Second/200)
	z.window = 2 * interval
	z.steady, err = f.unchangedScans(ctx, interval, z.window)
	return z, err
}

func (s settings) printSizes(sizes []compared) error {
	fmt.Printf("pairs × %d tags, %d registries\n", s.tags, s.hosts)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	head, flux := "pairs\t", "Flux's own, 10000, 16 workers\t"
	for _, column := range columns {
		head += column.head + "\t"
		flux += column.flux + "\t"
	}
	fmt.Fprintln(table, head)
	for _, measured := range sizes {
		printCompared(table, measured)
	}
	fmt.Fprintln(table, flux)
	if err := table.Flush(); err != nil {
		return err
	}
	limits := ratelimit.DefaultConfig()
	for _, measured := range sizes {
		z := measured[0]
		limited := max(0, z.cold.requests/float64(s.hosts)-float64(limits.Burst)) / limits.PerSecond
		fmt.Printf("cold start of %s: %s of %.0f s provided by %d processors; with the rate limits of the registries alone: %.0f s\n",
			z.name(), z.cold.usage, float64(runtime.NumCPU())*z.cold.duration.Seconds(), runtime.NumCPU(), limited)
	}
	return nil
}

// printCompared prints the rows of a number of repositories: the controller, the baseline and the
// ratio.
func printCompared(table io.Writer, measured compared) {
	for i, z := range measured {
		row := z.name() + []string{"", ", baseline"}[i] + "\t"
		for _, column := range columns {
			row += fmt.Sprintf(column.format+"\t", column.value(z))
		}
		fmt.Fprintln(table, row)
	}
	if len(measured) == 1 {
		return
	}
	row := "ratio\t"
	for _, column := range columns {
		row += ratio(column.value(measured[0]), column.value(measured[1])) + "\t"
	}
	fmt.Fprintln(table, row)
}

//go:embed plot.svg.tmpl
var plotTemplate string

var plot = template.Must(template.New("plot").Parse(plotTemplate))

// drawSizes writes an SVG file with a diagram for each column that has a title. Both axes are
// logarithmic.
func drawSizes(file string, sizes []compared) error {
	type point struct {
		Size, Figure float64
		X, Y         string
	}
	type panel struct {
		Title     string
		Left, Top int
		Points    []point
	}
	var panels []panel
	for _, column := range columns {
		if column.plot == "" {
			continue
		}
		p := panel{Title: column.plot, Left: 50 + len(panels)%2*390, Top: 75 + len(panels)/2*275}
		low, high := math.Inf(1), 0.0
		for _, measured := range sizes {
			z := measured[0]
			low, high = min(low, column.value(z)), max(high, column.value(z))
		}
		for _, measured := range sizes {
			z := measured[0]
			p.Points = append(p.Points, point{
				Size: z.pairs, Figure: column.value(z),
				X: fmt.Sprintf("%.1f", 340*(0.06+0.86*fraction(z.pairs, sizes[0][0].pairs, sizes[len(sizes)-1][0].pairs))),
				Y: fmt.Sprintf("%.1f", 200*(1-0.82*fraction(column.value(z), low/1.5, high*1.5))), // below the title
			})
		}
		panels = append(panels, p)
	}
	var text strings.Builder
	if err := plot.Execute(&text, map[string]any{"Machine": machine(), "Panels": panels}); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text.String()), 0o644)
}

// fraction returns the position of a value between two others on a logarithmic scale.
func fraction(value, low, high float64) float64 {
	if high <= low {
		return 0.5
	}
	return math.Log(value/low) / math.Log(high/low)
}
