// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"fmt"

	flag "github.com/spf13/pflag"
)

// Config bounds the load of all operations on one registry host. The zero value of a field
// is no bound.
type Config struct {
	// InFlight is the number of concurrent operations. An operation makes one request at
	// a time.
	InFlight int
	// PerSecond is the number of requests per second in the long run.
	PerSecond float64
	// Burst is the number of requests that may be made at once after an idle time.
	Burst int
}

// DefaultConfig returns the default bounds.
func DefaultConfig() Config { return Config{InFlight: 16, PerSecond: 100, Burst: 1000} }

// BindFlags adds the flags for the bounds.
func (c *Config) BindFlags(fs *flag.FlagSet) {
	d := DefaultConfig()
	fs.IntVar(&c.InFlight, "registry-max-in-flight", d.InFlight,
		"The number of scans and digest lookups in flight at a time at one registry host, 0 for no bound. "+
			"Keep it well below --concurrent, so that a host that hangs leaves workers to the others.")
	fs.Float64Var(&c.PerSecond, "registry-qps", d.PerSecond,
		"The number of requests per second to one registry host in the long run, 0 for no bound.")
	fs.IntVar(&c.Burst, "registry-burst", d.Burst,
		"The number of requests to one registry host that may be made at once after a time without any.")
}

// Check returns an error about an invalid bound.
func (c *Config) Check() error {
	switch {
	case c.InFlight < 0:
		return fmt.Errorf("--registry-max-in-flight is %d: it must be 0 or more", c.InFlight)
	case !(c.PerSecond >= 0): // NaN is not
		return fmt.Errorf("--registry-qps is %v: it must be 0 or more", c.PerSecond)
	case c.PerSecond > 0 && c.PerSecond < 0.001:
		return fmt.Errorf("--registry-qps is %v: it must be 0.001 or more, or 0 for no bound", c.PerSecond)
	case c.Burst < 1:
		return fmt.Errorf("--registry-burst is %d: it must be 1 or more", c.Burst)
	}
	return nil
}
