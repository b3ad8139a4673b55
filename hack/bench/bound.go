/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

	http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/
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
