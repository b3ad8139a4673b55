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
