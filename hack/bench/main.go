// SPDX-License-Identifier: Apache-2.0

// Bench measures the controller as a whole: the real program, on a real
// control plane, with registries behind token authentication and a network
// that takes its time. It prints tables.
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

// settings say how much is measured.
type settings struct {
	repositories, tags, hosts int
	latency, steady, duration time.Duration
	sizes                     []int
	plot, baseline            string
}

// parts are what can be measured, in this order.
var parts = []struct {
	name    string
	measure func(settings, context.Context) error
}{
	{"scans", settings.scans},
	{"hosts", settings.oneHangs},
	{"large", settings.large},
	{"scale", settings.scale},
	{"soak", settings.soak}, // on demand
}

func main() {
	s := settings{sizes: []int{100, 300, 1000, 3000, 10000}}
	var wanted string
	flag.StringVar(&wanted, "parts", "scans,hosts,large,scale", "what is measured")
	flag.IntVar(&s.repositories, "repositories", 300,
		"the number of ImageRepositories, each with an ImagePolicy, of the parts scans and hosts")
	flag.IntVar(&s.tags, "tags", 1000, "the number of tags of each")
	flag.IntVar(&s.hosts, "hosts", 16, "the number of registries of the parts hosts and scale")
	flag.DurationVar(&s.latency, "latency", 20*time.Millisecond, "the time that a registry takes to answer")
	flag.DurationVar(&s.steady, "steady", 20*time.Second, "the time for which unchanged scans are measured")
	flag.DurationVar(&s.duration, "duration", 10*time.Minute, "the time that the part soak lasts")
	flag.Func("sizes", "the numbers of ImageRepositories of the part scale (default 100,300,1000,3000,10000)", s.setSizes)
	flag.StringVar(&s.plot, "plot", "", "the SVG file into which the part scale is drawn")
	flag.StringVar(&s.baseline, "baseline", "", "another controller, which the parts scans and hosts measure too, in the same tables")
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	fmt.Println(machine())
	for _, part := range parts {
		if !slices.Contains(strings.Split(wanted, ","), part.name) {
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
			return fmt.Errorf("%q is no positive number", part)
		}
		s.sizes = append(s.sizes, size)
	}
	return nil
}

// machine names what the figures were measured on.
func machine() string {
	processor := "of an unknown kind"
	if proc, err := procfs.NewDefaultFS(); err == nil {
		if all, err := proc.CPUInfo(); err == nil && len(all) > 0 {
			processor = all[0].ModelName
		}
	}
	return fmt.Sprintf("%s/%s, %d processors (%s), %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), processor, runtime.Version())
}
