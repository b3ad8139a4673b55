// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"

	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// faults are what a registry suffers from in turn. 20 bytes end in the middle of any of its documents.
var faults = []registrytest.Fault{
	registrytest.Status(http.StatusServiceUnavailable, "unavailable"),
	registrytest.RetryAfter(http.StatusTooManyRequests, "2"),
	hang,
	registrytest.Reset(),
	registrytest.Truncate(20),
	short,
}

// hang answers nothing until the client gives up.
func hang(_ http.ResponseWriter, req *http.Request, _ http.Handler) { <-req.Context().Done() }

// lackingParameter is how many of the newest tags a list is to lack.
const lackingParameter = "lacking"

// short has lists lack the newest tags, which look complete.
func short(w http.ResponseWriter, req *http.Request, next http.Handler) {
	if req.URL.Path != "/token" {
		req.URL.RawQuery = fmt.Sprintf("%s=%d", lackingParameter, churnLacking)
	}
	next.ServeHTTP(w, req)
}

// suffer switches a fault on, or the one that is on off where it is nil.
func (r *syntheticRegistry) suffer(fault registrytest.Fault) { r.fault.Store(&fault) }
