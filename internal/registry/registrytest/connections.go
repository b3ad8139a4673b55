// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net"
	"net/http"
)

// connState notes which connections are open. One that a fault takes away from
// the server is closed by the fault.
func (r *Registry) connState(conn net.Conn, state http.ConnState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch state {
	case http.StateNew:
		r.connections[conn] = true
		r.peak = max(r.peak, len(r.connections))
	case http.StateClosed, http.StateHijacked:
		delete(r.connections, conn)
	}
}

// Connections returns how many connections are open to a registry that was
// started.
func (r *Registry) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.connections)
}

// PeakConnections returns how many connections were open at the same time, at
// most.
func (r *Registry) PeakConnections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peak
}
