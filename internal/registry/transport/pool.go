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

package transport

import (
	"net/http"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/registry/cache"
)

const (
	// maxTransports is how many configurations have connections at a time.
	maxTransports = 64
	// transportIdle is how long the connections of an unused configuration are
	// kept.
	transportIdle = 10 * time.Minute
)

// Pool keeps a transport, and so the connections, for each Config.
type Pool struct {
	standard *http.Transport
	others   *cache.Cache[string, *http.Transport]
}

// NewPool returns a Pool without connections.
func NewPool(now func() time.Time) *Pool {
	return &Pool{
		standard: New(Config{}),
		others:   cache.New[string](maxTransports, transportIdle, now, (*http.Transport).CloseIdleConnections),
	}
}

// Transport returns the transport of a configuration. It is to be looked up
// for each request: one that was dropped from the pool is not used again.
func (p *Pool) Transport(c Config) *http.Transport {
	if c.Key == "" {
		return p.standard
	}
	return p.others.Get(c.Key, func() *http.Transport { return New(c) })
}

// CloseIdleConnections closes the connections that are idle, and those in use
// as soon as they are. No request under way is cut.
func (p *Pool) CloseIdleConnections() {
	p.standard.CloseIdleConnections()
	for _, t := range p.others.Values() {
		t.CloseIdleConnections()
	}
}
