// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// without answers with lists of a repository that lack some tags, as if they
// were complete.
func without(repository string, tags ...string) registrytest.Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if !strings.HasPrefix(req.URL.Path, "/v2/"+repository+"/") {
			next.ServeHTTP(w, req)
			return
		}
		whole := httptest.NewRecorder()
		next.ServeHTTP(whole, req)
		var list struct {
			Name string   `json:"name"`
			Tags []string `json:"tags"`
		}
		if err := json.Unmarshal(whole.Body.Bytes(), &list); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		list.Tags = slices.DeleteFunc(list.Tags, func(tag string) bool { return slices.Contains(tags, tag) })
		_ = json.NewEncoder(w).Encode(list)
	}
}

// asked returns how many requests for a path a registry has seen.
func asked(registry *registrytest.Registry, path string) int {
	count := 0
	for _, req := range registry.Requests() {
		if req.Path == path {
			count++
		}
	}
	return count
}

// TestFlickeringList scans a registry whose list lacks a part of the tags every
// other time, and looks complete.
func TestFlickeringList(t *testing.T) {
	const (
		all, lacking = 595, 105
		scans        = 30
	)
	s := newScene(t)
	registry := registrytest.Start(t)
	var tags []string
	for i := range all {
		tags = append(tags, fmt.Sprintf("1.%d.0", i))
	}
	registry.PushTags(t, "org/app", tags...)
	var lists atomic.Int64
	short := without("org/app", tags[all-lacking:]...)
	registry.Inject(registrytest.Tags, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if lists.Add(1)%2 == 0 {
			short(w, req, next)
			return
		}
		next.ServeHTTP(w, req)
	})
	repo := s.repository("app", func(r *v1.ImageRepository) { r.Spec.Image = registry.Image("org/app") })
	ofApp := func(semver string) func(*v1.ImagePolicy) {
		return func(p *v1.ImagePolicy) {
			p.Spec.ImageRepositoryRef.Name, p.Spec.Policy.SemVer.Range = "app", semver
		}
	}
	policies := []*v1.ImagePolicy{
		s.policy("newest", ofApp(">=1.0.0")),
		s.policy("pinned", ofApp(">=1.0.0"), reflecting(v1.ReflectIfNotPresent)),
		s.policy("older", ofApp("<1.400.0")), // whose tag is on all lists
	}
	versions := map[string]string{}
	for _, policy := range policies {
		versions[policy.Name] = ready(s, policy).ResourceVersion
		s.Eventually(func() []string { return s.events(policy) }).Should(HaveLen(1))
	}
	s.settled()
	registry.Reset()
	before := s.metric("rest_client_requests_total", `method="PATCH"`)
	counts := map[int]int{}
	for range scans {
		request(s, repo)
		counts[refresh(s, repo).Status.LastScanResult.TagCount]++
		s.settledSoon()
	}
	s.Expect(counts).To(Equal(map[int]int{all: scans / 2, all - lacking: scans / 2}))
	s.Expect(registry.Count(registrytest.Tags)).To(Equal(scans))
	s.Expect(asked(registry, "/v2/org/app/manifests/1.594.0")).To(Equal(2*scans/2), "one look for each list that lacks the tag, by each policy that has it")
	s.Expect(registry.Count(registrytest.Any)).To(Equal(2*scans), "and no other request")
	s.Expect(s.metric("rest_client_requests_total", `method="PATCH"`)-before).To(Equal(float64(scans)), "one status write a scan")
	for _, policy := range policies {
		s.Expect(refresh(s, policy).ResourceVersion).To(Equal(versions[policy.Name]), "no policy is written")
		s.Expect(s.events(policy)).To(HaveLen(1))
	}
	s.Expect(s.events(repo)).To(HaveLen(2), "each of the two lists is told once")
}
