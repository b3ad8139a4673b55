// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net"
	"net/http"
)

// connState tracks the open connections. A fault that hijacks a connection also closes it.
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

// Connections returns the number of open connections to a started registry.
func (r *Registry) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.connections)
}

// PeakConnections returns the maximum number of connections that were open at the same time.
func (r *Registry) PeakConnections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peak
}
