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

package registry

import (
	"fmt"

	flag "github.com/spf13/pflag"
)

// BindFlags adds the flags that set the bounds, with the default ones.
func (t *Traffic) BindFlags(fs *flag.FlagSet) {
	d := DefaultTraffic()
	fs.IntVar(&t.InFlight, "registry-max-in-flight", d.InFlight,
		"The number of scans and digest lookups under way at a time at one registry host, 0 for no bound. "+
			"Keep it well below --concurrent, so that a host that hangs leaves workers to the others.")
	fs.Float64Var(&t.PerSecond, "registry-qps", d.PerSecond,
		"The number of requests per second to one registry host in the long run, 0 for no bound.")
	fs.IntVar(&t.Burst, "registry-burst", d.Burst,
		"The number of requests to one registry host that may be made at once after a time without any.")
}

// Check finds bounds that can't be kept.
func (t *Traffic) Check() error {
	switch {
	case t.InFlight < 0:
		return fmt.Errorf("--registry-max-in-flight is %d: it must be 0 or more", t.InFlight)
	case !(t.PerSecond >= 0): // NaN is not
		return fmt.Errorf("--registry-qps is %v: it must be 0 or more", t.PerSecond)
	case t.PerSecond > 0 && t.PerSecond < 0.001:
		return fmt.Errorf("--registry-qps is %v: it must be 0.001 or more, or 0 for no bound", t.PerSecond)
	case t.Burst < 1:
		return fmt.Errorf("--registry-burst is %d: it must be 1 or more", t.Burst)
	}
	return nil
}
