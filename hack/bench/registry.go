// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
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

// syntheticRegistry answers like a registry behind token authentication, and after a delay.
type syntheticRegistry struct {
	host            string
	latency         time.Duration
	requests, lists atomic.Int64 // that were counted: all, and those for a list of tags
	fault           atomic.Pointer[registrytest.Fault]
	server          *httptest.Server
	tokens          sync.Map // the repositories that a token was issued for

	mu           sync.Mutex
	initial      [][]string // the tags that repositories begin with, one of these each
	repositories map[string]*repository
}

// repository has its tags in the order in which they were pushed, or sorted where it
// never changes. next is the number of the next version: one that was removed never comes back.
type repository struct {
	tags []string
	next int
}

const (
	// churnTags is how many tags a repository that changes has at the most.
	churnTags = 250
	// churnLacking is how many tags a short list lacks.
	churnLacking = 50
)

func newSyntheticRegistry(tags, kinds int, latency time.Duration) *syntheticRegistry {
	r := &syntheticRegistry{latency: latency, repositories: map[string]*repository{}}
	r.suffer(nil)
	for kind := range kinds {
		r.initial = append(r.initial, tagList(kind, tags))
	}
	answers := http.NewServeMux()
	answers.HandleFunc("/token", r.serveToken)
	answers.HandleFunc("/v2/", func(http.ResponseWriter, *http.Request) {})
	answers.HandleFunc("/v2/team/{app}/tags/list", r.serveTags)
	answers.HandleFunc("/v2/team/{app}/manifests/{tag}", r.serveManifest)
	well := r.authenticated(answers)
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.requests.Add(1)
		if fault := r.fault.Load(); *fault != nil {
			(*fault)(w, req, well)
			return
		}
		well.ServeHTTP(w, req)
	}))
	r.host = r.server.Listener.Addr().String()
	return r
}

func (r *syntheticRegistry) close() {
	r.server.CloseClientConnections()
	r.server.Close()
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

// churn has all repositories begin with the versions that change goes on with.
func (r *syntheticRegistry) churn() {
	versions := make([]string, churnTags-churnLacking)
	for i := range versions {
		versions[i] = versionOf(i)
	}
	r.initial = [][]string{versions}
}

func versionOf(number int) string { return fmt.Sprintf("1.%d.0", number) }

// of returns a repository. It is called with the lock held.
func (r *syntheticRegistry) of(name string) *repository {
	repo := r.repositories[name]
	if repo == nil {
		_, number, _ := strings.Cut(name, "-")
		kind, _ := strconv.Atoi(number)
		tags := r.initial[kind%len(r.initial)]
		repo = &repository{tags: tags, next: len(tags)}
		r.repositories[name] = repo
	}
	return repo
}

// change pushes a tag, or removes the newest one, or one of the others.
func (r *syntheticRegistry) change(name string, random *rand.Rand) {
	r.mu.Lock()
	defer r.mu.Unlock()
	repo := r.of(name)
	tags := slices.Clone(repo.tags)
	last := len(tags) - 1
	switch dice := random.IntN(10); {
	case dice < 6 || last < churnTags/2:
		tags = append(tags, versionOf(repo.next))
		repo.next++
	case dice < 8:
		tags = tags[:last]
	default:
		gone := random.IntN(last)
		tags = slices.Delete(tags, gone, gone+1)
	}
	repo.tags = tags[max(0, len(tags)-churnTags):]
}

// tags returns the tags of a repository.
func (r *syntheticRegistry) tags(name string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of(name).tags
}

// newest returns the tag that a policy should select.
func (r *syntheticRegistry) newest(name string) string {
	tags := r.tags(name)
	return tags[len(tags)-1]
}

// digestOf returns the digest that a tag has for ever.
func digestOf(repository, tag string) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(repository+":"+tag)))
}

// authenticated demands a token that was issued for the repository, after the delay.
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

// serveTags lists the tags sorted, as registries do, without the newest ones where the
// fault of a short list asks for that.
func (r *syntheticRegistry) serveTags(w http.ResponseWriter, req *http.Request) {
	r.lists.Add(1)
	name := "team/" + req.PathValue("app")
	tags := r.tags(name)
	lacking, _ := strconv.Atoi(req.FormValue(lackingParameter))
	tags = slices.Sorted(slices.Values(tags[:len(tags)-lacking]))
	writeJSON(w, map[string]any{"name": name, "tags": tags})
}

func (r *syntheticRegistry) serveManifest(w http.ResponseWriter, req *http.Request) {
	name, tag := "team/"+req.PathValue("app"), req.PathValue("tag")
	if !slices.Contains(r.tags(name), tag) {
		http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
	w.Header().Set("Docker-Content-Digest", digestOf(name, tag))
	w.Header().Set("Content-Length", "1024")
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
