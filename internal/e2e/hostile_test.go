// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// mostMemory is what the controller may take while all of its registries try to
// have it take more: three quarters of the limit that config/manager gives it.
const mostMemory = 768 << 20

// TestHostileRegistries has a registry answer with what is made to take up memory,
// to ten objects at a time, and measures the process.
func TestHostileRegistries(t *testing.T) {
	block := []byte(strings.Repeat("x", 64<<10))
	bomb := compressedBlanks(t, 1<<30)
	endless := func(first string) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			_, err := w.Write([]byte(first))
			for err == nil && req.Context().Err() == nil {
				_, err = w.Write(block)
			}
		}
	}
	s := newScene(t)
	before := s.memory("VmRSS")
	for name, handler := range map[string]http.HandlerFunc{
		"endless": endless(`{"name":"`),
		"bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		},
		"nesting": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, `{"name":"a","tags":`, strings.Repeat("[", 8<<20))
		},
		"many tags": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, `{"name":"a","tags":["a"`, strings.Repeat(`,"b"`, 4<<20), "]}")
		},
		"odd names": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, `{"name":"a","tags":["\u001b[2J\n"`, strings.Repeat(`,"\u001b"`, 1<<20), "]}")
		},
		"huge header": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Link", strings.Repeat("x", 8<<20)) },
	} {
		host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/v2/" {
				return
			}
			handler(w, req)
		}))
		var repos []*v1.ImageRepository
		for i := range 10 {
			repos = append(repos, s.repository(fmt.Sprintf("%s-%d", strings.ReplaceAll(name, " ", "-"), i), func(r *v1.ImageRepository) { r.Spec.Image = host + "/app" }))
		}
		for _, repo := range repos {
			notReady(s, repo, v1.ReadOperationFailedReason, "registry "+host)
			for _, condition := range repo.Status.Conditions {
				s.Expect(condition.Message).NotTo(ContainSubstring("\x1b"))
			}
		}
		peak := s.memory("VmHWM")
		t.Logf("%-11s %4d MiB before, %4d MiB at most", name, before>>20, peak>>20)
		s.Expect(peak).To(BeNumerically("<", mostMemory), name)
	}
	log, err := os.ReadFile(s.controller.LogFile())
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(string(log)).NotTo(ContainSubstring("\x1b"))
	s.pushTags("well", "1.0.0")
	ready(s, s.repository("well"))
}

// memory returns what the system says of the controller's memory, in bytes.
func (s *scene) memory(field string) int {
	s.t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.controller.PID()))
	s.Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(content)) {
		var kilobytes int
		if _, err := fmt.Sscanf(line, field+": %d kB", &kilobytes); err == nil {
			return kilobytes << 10
		}
	}
	s.t.Fatalf("the system does not tell %s", field)
	return 0
}

func compressedBlanks(t *testing.T, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	block := bytes.Repeat([]byte(" "), 1<<20)
	for range size >> 20 {
		if err == nil {
			_, err = w.Write(block)
		}
	}
	if err == nil {
		err = w.Close()
	}
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return b.Bytes()
}
