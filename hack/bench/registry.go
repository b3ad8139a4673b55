// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// syntheticRegistry answers like a registry behind token authentication, with
// one of some tag lists for each repository, and after a delay.
type syntheticRegistry struct {
	latency time.Duration
	lists   atomic.Int64 // that were asked for
	bodies  [][]byte     // of the tag lists
	tags    [][]string
	server  *http.Server
	// digest is what every tag points at.
	digest string

	// churn has the tags in place of lists and digest, where there is one
	churn *churn
	fault atomic.Pointer[fault]

	requests atomic.Int64 // of all kinds
	hanging  atomic.Bool
	release  chan struct{}
	host     string

	mu     sync.Mutex
	tokens map[string]bool
}

func newSyntheticRegistry(tags, kinds int, latency time.Duration) (*syntheticRegistry, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &syntheticRegistry{
		latency: latency,
		digest:  "sha256:" + strings.Repeat("ab", 32),
		release: make(chan struct{}),
		host:    listener.Addr().String(),
		tokens:  map[string]bool{},
	}
	for kind := range kinds {
		names := tagList(kind, tags)
		body, err := json.Marshal(map[string]any{"name": "any", "tags": names})
		if err != nil {
			return nil, err
		}
		r.tags, r.bodies = append(r.tags, names), append(r.bodies, body)
	}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go func() { _ = r.server.Serve(listener) }()
	return r, nil
}

func (r *syntheticRegistry) close() {
	close(r.release)
	_ = r.server.Close()
}

// tagList returns the tags of one kind of list: versions, with the suffixes and
// prereleases that real ones have, more or less of them.
func tagList(kind, n int) []string {
	names := make([]string, n)
	for i := range names {
		version := fmt.Sprintf("%d.%d.%d", 1+kind%7, i/97, i%97+kind)
		switch (i + kind) % 5 {
		case 0:
			version += "-alpine"
		case 1:
			version += fmt.Sprintf("-rc.%d", kind%9)
		}
		names[i] = version
	}
	slices.Sort(names)
	return names
}

// kindOf is which of the lists a repository has.
func (r *syntheticRegistry) kindOf(repository string) int {
	h := fnv.New32a()
	h.Write([]byte(repository)) // never fails
	return int(h.Sum32()) % len(r.tags)
}

func (r *syntheticRegistry) tagsOf(repository string) []string { return r.tags[r.kindOf(repository)] }

// ServeHTTP implements http.Handler.
func (r *syntheticRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.requests.Add(1)
	if fault := r.fault.Load(); fault != nil {
		fault.answer(w, req, http.HandlerFunc(r.answer))
		return
	}
	r.answer(w, req)
}

// answer answers as a registry does that is well, or hangs.
func (r *syntheticRegistry) answer(w http.ResponseWriter, req *http.Request) {
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
	case r.churn != nil:
		r.churn.ServeHTTP(w, req)
	case strings.HasSuffix(req.URL.Path, "/tags/list"):
		r.lists.Add(1)
		w.Header().Set("Content-Type", "application/json")
		repository := strings.TrimSuffix(strings.TrimPrefix(req.URL.Path, "/v2/"), "/tags/list")
		_, _ = w.Write(r.bodies[r.kindOf(repository)])
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
