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
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// syntheticRegistry answers like a registry behind token authentication, with
// the same tags for every repository, and after a delay.
type syntheticRegistry struct {
	latency time.Duration
	tags    []byte
	// digest is what every tag points at.
	digest string

	requests atomic.Int64 // of all kinds
	lists    atomic.Int64 // of tag lists
	hanging  atomic.Bool
	release  chan struct{}
	host     string

	mu     sync.Mutex
	tokens map[string]bool
}

func newSyntheticRegistry(tags int, latency time.Duration) (*syntheticRegistry, error) {
	names := make([]string, tags)
	for i := range names {
		names[i] = fmt.Sprintf("1.%d.%d", i/100, i%100)
	}
	body, err := json.Marshal(map[string]any{"name": "any", "tags": names})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &syntheticRegistry{
		latency: latency,
		tags:    body,
		digest:  "sha256:" + strings.Repeat("ab", 32),
		release: make(chan struct{}),
		host:    listener.Addr().String(),
		tokens:  map[string]bool{},
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // ends with the process
	return r, nil
}

// ServeHTTP implements http.Handler.
func (r *syntheticRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.requests.Add(1)
	if r.hanging.Load() {
		select {
		case <-r.release:
		case <-req.Context().Done():
		}
		return
	}
	select {
	case <-time.After(r.latency):
	case <-req.Context().Done():
		return
	}
	if req.URL.Path == "/token" {
		r.serveToken(w, req)
		return
	}
	if !r.admits(req) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="bench"`, r.host))
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
		return
	}
	switch {
	case strings.HasSuffix(req.URL.Path, "/tags/list"):
		r.lists.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(r.tags)
	case strings.Contains(req.URL.Path, "/manifests/"):
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		w.Header().Set("Docker-Content-Digest", r.digest)
		w.Header().Set("Content-Length", "1024")
	}
}

// admits demands a token that was issued for the repository.
func (r *syntheticRegistry) admits(req *http.Request) bool {
	token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	r.mu.Lock()
	defer r.mu.Unlock()
	return ok && r.tokens[token] && (req.URL.Path == "/v2/" || strings.HasPrefix(req.URL.Path, "/v2/"+token+"/"))
}

func (r *syntheticRegistry) serveToken(w http.ResponseWriter, req *http.Request) {
	scope := strings.Split(req.FormValue("scope"), ":")
	if len(scope) != 3 {
		http.Error(w, "no scope", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	r.tokens[scope[1]] = true
	r.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": scope[1], "expires_in": 3600})
}
