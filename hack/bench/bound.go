// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime"

	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
)

var processors = float64(runtime.NumCPU())

// gateTime is the time in seconds that the requests of a cold start need at least,
// by the rate that a registry is asked with by default.
func (s settings) gateTime(z size) float64 {
	traffic := ratelimit.DefaultConfig()
	each := z.cold.requests / float64(s.hosts)
	return max(0, each-float64(traffic.Burst)) / traffic.PerSecond
}
