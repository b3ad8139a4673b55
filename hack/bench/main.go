// SPDX-License-Identifier: Apache-2.0

// Command bench measures the controller as a whole: the real program on a real control
// plane, with registries that require a token and respond after a delay. It prints tables.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/procfs"
	ctrl "sigs.k8s.io/controller-runtime"
)

// settings are the values of the flags.
type settings struct {
	repositories, tags, hosts int
	gated                     int
	latency, steady, duration time.Duration
	sizes                     []int
	plot, baseline, profile   string
}

// parts are the measurements, in this order.
var parts = []struct {
	name    string
	measure func(settings, context.Context) error
}{
	{"scans", settings.scans},
	{"hosts", settings.hangingHost},
	{"large", settings.large},
	{"scale", settings.scale},
	{"soak", settings.soak}, // only on demand
}

func main() {
	s := settings{sizes: []int{100, 300, 1000, 3000, 10000}}
	var selected string
	flag.StringVar(&selected, "parts", "scans,hosts,large,scale", "the measurements to run, comma separated")
	flag.IntVar(&s.repositories, "repositories", 300,
		"the number of ImageRepositories, each with an ImagePolicy, of the parts scans and hosts")
	flag.IntVar(&s.tags, "tags", 1000, "the number of tags of each")
	flag.IntVar(&s.hosts, "hosts", 16, "the number of registries of the parts hosts and scale")
	flag.DurationVar(&s.latency, "latency", 20*time.Millisecond, "the time that a registry takes to respond")
	flag.DurationVar(&s.steady, "steady", 20*time.Second, "how long unchanged scans are measured")
	flag.DurationVar(&s.duration, "duration", 30*time.Minute, "how long the part soak runs")
	flag.Func("sizes", "the numbers of ImageRepositories of the part scale (default 100,300,1000,3000,10000)", s.setSizes)
	flag.IntVar(&s.gated, "gated", 1000,
		"the number of policies with platforms and minimumAge in the last row of the part scale, 0 for no such row")
	flag.StringVar(&s.plot, "plot", "", "the SVG file to write a plot of the part scale to")
	flag.StringVar(&s.baseline, "baseline", "", "path of another controller, which all parts but soak also measure, in the same tables")
	flag.StringVar(&s.profile, "profile", "",
		"the file to write a CPU profile of the unchanged scans of the part scans to, and with .baseline appended, that of the baseline")
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	fmt.Println(machine())
	for _, part := range parts {
		if !slices.Contains(strings.Split(selected, ","), part.name) {
			continue
		}
		fmt.Println()
		if err := part.measure(s, ctx); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", part.name, err)
			os.Exit(1)
		}
	}
}

func (s *settings) setSizes(text string) error {
	s.sizes = nil
	for _, part := range strings.Split(text, ",") {
		var size int
		if _, err := fmt.Sscan(part, &size); err != nil || size < 1 {
			return fmt.Errorf("%q is not a positive number", part)
		}
		s.sizes = append(s.sizes, size)
	}
	slices.Sort(s.sizes) // as the axis of the plot
	return nil
}

// machine describes the machine and the Go version.
func machine() string {
	processor := "unknown model"
	if proc, err := procfs.NewDefaultFS(); err == nil {
		if all, err := proc.CPUInfo(); err == nil && len(all) > 0 {
			processor = all[0].ModelName
		}
	}
	return fmt.Sprintf("%s/%s, %d processors (%s), %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), processor, runtime.Version())
}
