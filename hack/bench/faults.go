// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"

	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// faults are set in this order. 20 bytes end in the middle of every document of the registry.
var faults = []registrytest.Fault{
	registrytest.Status(http.StatusServiceUnavailable, "unavailable"),
	registrytest.RetryAfter(http.StatusTooManyRequests, "2"),
	hang,
	registrytest.Reset(),
	registrytest.Truncate(20),
	shortList,
}

// hang sends no response until the client gives up.
func hang(_ http.ResponseWriter, req *http.Request, _ http.Handler) { <-req.Context().Done() }

// omitParameter is the query parameter with the number of newest tags that a list omits.
const omitParameter = "omit"

// shortList omits the newest tags from lists, which look complete.
func shortList(w http.ResponseWriter, req *http.Request, next http.Handler) {
	if req.URL.Path != "/token" {
		req.URL.RawQuery = fmt.Sprintf("%s=%d", omitParameter, churnOmitted)
	}
	next.ServeHTTP(w, req)
}

// setFault sets the fault of the registry, nil for none.
func (r *syntheticRegistry) setFault(fault registrytest.Fault) { r.fault.Store(&fault) }
