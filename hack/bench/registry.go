// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// syntheticRegistry is a fake registry that requires a token and responds after a delay.
type syntheticRegistry struct {
	host            string
	latency         time.Duration
	requests, lists atomic.Int64 // number of all requests, and of those for a list of tags
	fault           atomic.Pointer[registrytest.Fault]
	server          *httptest.Server
	started         time.Time
	churns          bool     // tags change
	tokens          sync.Map // repositories for which a token was issued
	contents        sync.Map // manifests and blobs that were served or signed, by digest

	mu           sync.Mutex
	initial      [][]string // initial tags: each repository begins with one of these lists
	repositories map[string]*repository
}

// repository has its tags in the order of their pushes, or sorted if it never changes. next
// is the number of the next version: a removed version is never pushed again. pushed has the
// times of the pushes, also of tags that were removed, but not of the initial ones.
type repository struct {
	tags   []string
	next   int
	pushed map[string]time.Time
}

const (
	// churnTags is the number of tags of a repository that changes, after each push. It is
	// constant, so that data does not grow.
	churnTags = 200
	// churnRemoved is the maximum number of tags that are removed between two pushes.
	churnRemoved = 10
	// churnOmitted is the number of tags that a short list omits.
	churnOmitted = 50
)

func newSyntheticRegistry(tags, kinds int, latency time.Duration) *syntheticRegistry {
	r := &syntheticRegistry{latency: latency, repositories: map[string]*repository{}, started: time.Now()}
	r.setFault(nil)
	for kind := range kinds {
		r.initial = append(r.initial, tagList(kind, tags))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/token", r.serveToken)
	mux.HandleFunc("/v2/{$}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/v2/team/{app}/tags/list", r.serveTags)
	mux.HandleFunc("/v2/team/{app}/manifests/{reference}", r.serveManifest)
	mux.HandleFunc("/v2/team/{app}/blobs/{digest}", r.serveBlob)
	healthy := r.authenticated(mux)
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.requests.Add(1)
		if fault := r.fault.Load(); *fault != nil {
			(*fault)(w, req, healthy)
			return
		}
		healthy.ServeHTTP(w, req)
	}))
	r.host = r.server.Listener.Addr().String()
	return r
}

func (r *syntheticRegistry) close() {
	r.server.CloseClientConnections()
	r.server.Close()
}

// tagList returns n tags of one kind of list: versions, some with the suffixes and
// prereleases that real lists have.
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

// churn sets the initial tags of all repositories to the versions that change continues.
func (r *syntheticRegistry) churn() {
	versions := make([]string, churnTags)
	for i := range versions {
		versions[i] = versionOf(i)
	}
	r.initial, r.churns = [][]string{versions}, true
}

func versionOf(number int) string { return fmt.Sprintf("1.%d.0", number) }

// repository returns a repository. The caller holds the lock.
func (r *syntheticRegistry) repository(name string) *repository {
	repo := r.repositories[name]
	if repo == nil {
		_, number, _ := strings.Cut(name, "-")
		kind, _ := strconv.Atoi(number)
		tags := r.initial[kind%len(r.initial)]
		repo = &repository{tags: tags, next: len(tags), pushed: map[string]time.Time{}}
		r.repositories[name] = repo
	}
	return repo
}

// change pushes tags, or removes the newest tag or another one. A push replaces removed tags and
// the oldest one, so that the list returns to its length.
func (r *syntheticRegistry) change(name string, random *rand.Rand) {
	r.mu.Lock()
	defer r.mu.Unlock()
	repo := r.repository(name)
	tags := slices.Clone(repo.tags)
	last := len(tags) - 1
	switch dice := random.IntN(10); {
	case dice < 6 || last < churnTags-churnRemoved:
		for range 1 + max(0, churnTags-len(tags)) {
			tags = append(tags, versionOf(repo.next))
			repo.pushed[versionOf(repo.next)] = time.Now()
			repo.next++
		}
	case dice < 8:
		tags = tags[:last]
	default:
		removed := random.IntN(last)
		tags = slices.Delete(tags, removed, removed+1)
	}
	repo.tags = tags[max(0, len(tags)-churnTags):]
}

// tags returns the tags of a repository.
func (r *syntheticRegistry) tags(name string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.repository(name).tags
}

// authenticated requires a token that was issued for the repository, and responds after the delay.
func (r *syntheticRegistry) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if wait(req.Context(), r.latency) != nil {
			return
		}
		token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
		_, issued := r.tokens.Load(token)
		path := req.URL.Path
		if path == "/token" || issued && (path == "/v2/" || strings.HasPrefix(path, "/v2/"+token+"/")) {
			next.ServeHTTP(w, req)
			return
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="bench"`, r.host))
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
	})
}

func (r *syntheticRegistry) serveToken(w http.ResponseWriter, req *http.Request) {
	scope := strings.Split(req.FormValue("scope"), ":")
	if len(scope) != 3 {
		http.Error(w, "no scope", http.StatusBadRequest)
		return
	}
	r.tokens.Store(scope[1], true)
	writeJSON(w, map[string]any{"token": scope[1], "expires_in": 3600})
}

// serveTags lists the tags sorted, as registries do, without the newest ones if the fault
// shortList requests that.
func (r *syntheticRegistry) serveTags(w http.ResponseWriter, req *http.Request) {
	r.lists.Add(1)
	name := "team/" + req.PathValue("app")
	tags := r.tags(name)
	omitted, _ := strconv.Atoi(req.FormValue(omitParameter))
	tags = slices.Sorted(slices.Values(tags[:len(tags)-omitted]))
	writeJSON(w, map[string]any{"name": name, "tags": tags})
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
