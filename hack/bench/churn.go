// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// churn is the tags of image repositories that change all the time. A version
// that was removed never comes back.
type churn struct {
	mu    sync.Mutex
	repos map[string]*churning
	// lacking leaves the newest tags out of lists, which look complete
	lacking atomic.Bool
}

// churning is one image repository.
type churning struct {
	versions []int // ascending
	next     int
}

const (
	// churnTags is how many tags a repository has at the most.
	churnTags = 250
	// churnLacking is how many tags a list lacks then.
	churnLacking = 50
)

func newChurn() *churn { return &churn{repos: map[string]*churning{}} }

// of returns a repository, which begins with 200 tags. It is called with the lock held.
func (c *churn) of(repository string) *churning {
	repo := c.repos[repository]
	if repo == nil {
		repo = &churning{}
		for range churnTags - churnLacking {
			repo.push()
		}
		c.repos[repository] = repo
	}
	return repo
}

func (r *churning) push() {
	r.versions = append(r.versions, r.next)
	r.next++
	r.versions = r.versions[max(0, len(r.versions)-churnTags):]
}

// change pushes a tag, or removes the newest one, or one of the others.
func (c *churn) change(repository string, random *rand.Rand) {
	c.mu.Lock()
	defer c.mu.Unlock()
	repo := c.of(repository)
	last := len(repo.versions) - 1
	switch dice := random.IntN(10); {
	case dice < 6 || last < churnTags/2:
		repo.push()
	case dice < 8:
		repo.versions = repo.versions[:last]
	default:
		gone := random.IntN(last)
		repo.versions = slices.Delete(repo.versions, gone, gone+1)
	}
}

// newest returns the tag that a policy should select.
func (c *churn) newest(repository string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	versions := c.of(repository).versions
	return tagOf(versions[len(versions)-1])
}

// list returns the tags, sorted as registries do.
func (c *churn) list(repository string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	versions := c.of(repository).versions
	if c.lacking.Load() {
		versions = versions[:len(versions)-churnLacking]
	}
	tags := make([]string, len(versions))
	for i, version := range versions {
		tags[i] = tagOf(version)
	}
	slices.Sort(tags)
	return tags
}

func (c *churn) has(repository, tag string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.of(repository).versions, func(version int) bool { return tagOf(version) == tag })
}

func tagOf(version int) string { return fmt.Sprintf("1.%d.0", version) }

// digestOf returns the digest that a tag has for ever.
func digestOf(repository, tag string) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(repository+":"+tag)))
}

// ServeHTTP answers requests for lists of tags and for manifests.
func (c *churn) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	path := strings.TrimPrefix(req.URL.Path, "/v2/")
	if repository, ok := strings.CutSuffix(path, "/tags/list"); ok {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"name": repository, "tags": c.list(repository)})
		return
	}
	repository, tag, ok := strings.Cut(path, "/manifests/")
	if !ok {
		return // the root of the API
	}
	if !c.has(repository, tag) {
		http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
	w.Header().Set("Docker-Content-Digest", digestOf(repository, tag))
	w.Header().Set("Content-Length", "1024")
}
