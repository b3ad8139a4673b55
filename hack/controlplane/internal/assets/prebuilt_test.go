// SPDX-License-Identifier: Apache-2.0

package assets

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/build"
)

// newFakePrebuilt returns a prebuilt that can't build setup-envtest.
func newFakePrebuilt(t *testing.T, index string, log func(string)) *prebuilt {
	t.Helper()
	store := filepath.Join(t.TempDir(), "[store]") // a character class, if it were a pattern
	if err := os.Mkdir(store, 0o755); err != nil {
		t.Fatal(err)
	}
	return &prebuilt{module: filepath.Join(t.TempDir(), "missing"), store: store, index: index, log: log,
		indexTimeout: 200 * time.Millisecond, stallTimeout: 2 * time.Second, pollInterval: 20 * time.Millisecond}
}

// newArchive returns an archive with scripts, as published for setup-envtest.
func newArchive(t *testing.T, names ...string) []byte {
	t.Helper()
	return archiveOf(t, "#!/bin/sh\n", names...)
}

// archiveOf returns an archive with programs of a content.
func archiveOf(t *testing.T, content string, names ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	compressed := gzip.NewWriter(&out)
	archive := tar.NewWriter(compressed)
	for _, name := range names {
		err := archive.WriteHeader(&tar.Header{Name: "controller-tools/envtest/" + name, Mode: 0o755, Size: int64(len(content))})
		if err == nil {
			_, err = archive.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := compressed.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// published is a version in an index.
type published struct {
	version string
	content []byte           // of its archive
	hash    string           // in the index; that of the content if empty
	serve   http.HandlerFunc // the content if nil
}

// serveIndex serves an index and its archives, and returns the URL of the index.
func serveIndex(t *testing.T, releases ...published) string {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	index := "releases:\n"
	for _, release := range releases {
		name := fmt.Sprintf("envtest-v%s-%s-%s.tar.gz", release.version, runtime.GOOS, runtime.GOARCH)
		hash := release.hash
		if hash == "" {
			hash = fmt.Sprintf("%x", sha512.Sum512(release.content))
		}
		index += fmt.Sprintf("  v%s:\n    %s:\n      hash: %s\n      selfLink: %s/%s\n", release.version, name, hash, server.URL, name)
		if release.serve == nil {
			release.serve = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(release.content) }
		}
		mux.HandleFunc("/"+name, release.serve)
	}
	mux.HandleFunc("/index.yaml", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(index)) })
	return server.URL + "/index.yaml"
}

// stalls sends the start of a response, and no more.
func stalls(w http.ResponseWriter, r *http.Request) {
	_, _ = w.Write([]byte("releases:\n"))
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// TestGet_Downloads runs the pinned setup-envtest.
func TestGet_Downloads(t *testing.T) {
	complete := newArchive(t, all...)
	trickles := func(w http.ResponseWriter, _ *http.Request) {
		for chunk := range slices.Chunk(complete, len(complete)/5+1) {
			_, _ = w.Write(chunk)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(600 * time.Millisecond)
		}
	}
	cases := map[string]struct {
		reason   string
		releases []published
		want     string // version, or empty if it is built
		logs     string
	}{
		"pinned":     {reason: "the pinned version is preferred", releases: []published{{version: "1.36.4", content: complete}, {version: "1.36.3", content: complete}}, want: "1.36.3", logs: "downloading Kubernetes v1.36.3"},
		"other":      {reason: "not every patch version is published", releases: []published{{version: "1.36.0", content: complete}, {version: "1.36.2", content: complete}, {version: "1.35.9", content: complete}}, want: "1.36.2", logs: "downloading Kubernetes v1.36.2, because v1.36.3 is not published"},
		"slow":       {reason: "a slow download takes longer than the timeout of a stalled one, and succeeds", releases: []published{{version: "1.36.3", content: complete, serve: trickles}}, want: "1.36.3"},
		"stalled":    {reason: "a stalled download must end", releases: []published{{version: "1.36.3", content: complete, serve: stalls}}, logs: "it received nothing for 2s"},
		"checksum":   {reason: "another program must not run", releases: []published{{version: "1.36.3", content: complete, hash: strings.Repeat("0", 128)}}, logs: "checksum mismatch"},
		"truncated":  {reason: "a partial archive is not used", releases: []published{{version: "1.36.3", content: complete[:len(complete)/2]}}, logs: "setup-envtest: exit status"},
		"missing":    {reason: "the index may be newer than its archives", releases: []published{{version: "1.36.3", content: complete, serve: http.NotFound}}, logs: "404 Not Found"},
		"no etcd":    {reason: "an incomplete archive is not used", releases: []published{{version: "1.36.3", content: newArchive(t, "kubectl")}}, logs: "does not contain etcd and kube-apiserver"},
		"no program": {reason: "programs of another platform don't run", releases: []published{{version: "1.36.3", content: archiveOf(t, "\x7fELF", all...)}}, logs: "etcd of the archive of Kubernetes v1.36.3 does not run: "},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.prebuilt = newFakePrebuilt(t, serveIndex(t, tc.releases...), f.log)
			f.prebuilt.module = "../../../tools/setup-envtest"
			f.prebuilt.indexTimeout = indexTimeout
			install(t, filepath.Join(f.prebuilt.store, ".unfinished-killed"), all...)

			got, err := f.Get(t.Context(), none)
			want := filepath.Join(f.bin, "v1.36.3")
			if tc.want != "" {
				want = f.prebuilt.folder(tc.want)
			}
			if err != nil || got != want || (len(f.built) == 0) != (tc.want != "") {
				t.Errorf("Get = %q, %v, built %q; want %q: %s", got, err, f.built, want, tc.reason)
			}
			if log := strings.Join(f.logged, "\n"); !strings.Contains(log, tc.logs) {
				t.Errorf("logged %q; want %q", log, tc.logs)
			}
			if leftover, err := filepath.Glob(filepath.Join(f.prebuilt.store, ".unfinished-*")); err != nil || len(leftover) > 0 {
				t.Errorf("partial files remain: %q, %v", leftover, err)
			}
			f.prebuilt.index = "http://127.0.0.1:1/" // no request is made
			if path, err := f.Path(t.Context()); err != nil || path != got {
				t.Errorf("Path = %q, %v; want the folder that Get returned", path, err)
			}
		})
	}
}

// Without a usable index, setup-envtest is not built either.
func TestGet_BuildsWithoutUsableIndex(t *testing.T) {
	answers := func(handler http.HandlerFunc) func(t *testing.T) string {
		return func(t *testing.T) string {
			server := httptest.NewServer(handler)
			t.Cleanup(server.Close)
			return server.URL
		}
	}
	cases := map[string]struct {
		reason string
		index  func(t *testing.T) string
		logs   string
	}{
		"refused": {reason: "there may be no network", index: func(*testing.T) string { return "http://127.0.0.1:1/" }, logs: "connection refused"},
		"slow":    {reason: "the body is bounded too", index: answers(stalls), logs: "incomplete after 2s"},
		"silent":  {reason: "the answer is bounded", index: answers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), logs: "no answer within 200ms"},
		"secret": {reason: "a password is not printed", index: func(t *testing.T) string {
			return strings.Replace(answers(http.NotFound)(t), "://", "://user:token@", 1) + "/index?key=token"
		}, logs: "/index: 404"},
		"secret, refused": {reason: "errors of the client contain the URL", index: func(*testing.T) string {
			return "http://user:token@127.0.0.1:1/index?key=token"
		}, logs: "GET http://127.0.0.1:1/index: dial"},
		"garbage": {reason: "it may be the login page of a network", index: answers(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }), logs: "has no 1.36.x"},
		"404":     {reason: "a mirror may lack the index", index: answers(http.NotFound), logs: "404 Not Found"},
		"version": {reason: "a new minor version is published later", index: func(t *testing.T) string { return serveIndex(t, published{version: "1.35.3"}) }, logs: "has no 1.36.x for " + runtime.GOOS},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.prebuilt = newFakePrebuilt(t, tc.index(t), f.log)
			start := time.Now()
			if _, err := f.Get(t.Context(), none); err != nil || !slices.Equal(f.built, all) {
				t.Errorf("Get = %v, built %q; want all programs built: %s", err, f.built, tc.reason)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %s; want it bounded by the timeout: %s", took, tc.reason)
			}
			if log := strings.Join(f.logged, "\n"); strings.Count(log, "can't be downloaded") != 1 || !strings.Contains(log, tc.logs) || strings.Contains(log, "token") {
				t.Errorf("logged %q; want one line with %q and no token: %s", log, tc.logs, tc.reason)
			}
		})
	}
}

func TestGet_DownloadsWhileFirstRuns(t *testing.T) {
	f := newFixture(t)
	requested := make(chan struct{})
	f.prebuilt = newFakePrebuilt(t, serveIndex(t, published{version: "1.36.3", serve: func(w http.ResponseWriter, r *http.Request) {
		close(requested)
		stalls(w, r)
	}}), f.log)
	f.prebuilt.module, f.prebuilt.stallTimeout, f.prebuilt.indexTimeout = "../../../tools/setup-envtest", time.Minute, indexTimeout
	_, err := f.Get(t.Context(), func(ctx context.Context) error {
		select {
		case <-requested:
			return os.ErrInvalid // cancels the download
		case <-time.After(30 * time.Second):
			return fmt.Errorf("the download did not start: %w", os.ErrDeadlineExceeded)
		}
	})
	if !errors.Is(err, os.ErrInvalid) {
		t.Errorf("Get = %v; want the error of first", err)
	}
	if leftover, err := filepath.Glob(filepath.Join(f.prebuilt.store, ".unfinished-*")); err != nil || len(leftover) > 0 || len(f.built) > 0 {
		t.Errorf("partial files remain: %q, %v; built %q", leftover, err, f.built)
	}
}

func TestNew_DownloadsUnlessForbidden(t *testing.T) {
	for value, want := range map[string]bool{"": true, "1": true, "0": false, "no": false} {
		t.Setenv(prebuiltEnv, value)
		t.Setenv(indexEnv, "http://mirror.example.com/index.yaml")
		f, err := New(t.TempDir(), build.Programs())
		if err != nil {
			t.Fatal(err)
		}
		if got := f.prebuilt != nil; got != want || want && f.prebuilt.index != "http://mirror.example.com/index.yaml" {
			t.Errorf("%s=%q: download enabled: %t; want %t, from the index of %s", prebuiltEnv, value, got, want, indexEnv)
		}
	}
}

func TestNew_RejectsAnUnknownValue(t *testing.T) {
	for _, value := range []string{"off", "False", "2"} {
		t.Setenv(prebuiltEnv, value)
		if _, err := New(t.TempDir(), build.Programs()); err == nil || !strings.Contains(err.Error(), prebuiltEnv+"="+value+": set it to 0") {
			t.Errorf("%s=%q: got error %v; it must say which values are known, and not download", prebuiltEnv, value, err)
		}
	}
}

func TestNew_RejectsAnInvalidIndex(t *testing.T) {
	for _, value := range []string{"://", "file:///etc/passwd", "user:secret@mirror.example.com/index.yaml", "http://user:secret@[::1"} {
		t.Setenv(indexEnv, value)
		if _, err := New(t.TempDir(), build.Programs()); err == nil || !strings.Contains(err.Error(), indexEnv) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s=%q: got error %v; it must name the variable, and not the password", indexEnv, value, err)
		}
	}
}

func TestChoose_PrefersThePinnedVersion(t *testing.T) {
	cases := map[string]struct {
		reason, version string
		patches         []string
		want            string
	}{
		"pinned":    {"it has been tested", "v1.36.3", []string{"4", "3", "10"}, "1.36.3"},
		"newest":    {"numbers are compared, not texts", "v1.36.3", []string{"9", "10", "2"}, "1.36.10"},
		"candidate": {"candidates are not published", "v1.37.0-rc.1", []string{"0"}, "1.37.0"},
		"none":      {"there is nothing to download", "v1.36.3", nil, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := choose(tc.version, tc.patches); got != tc.want {
				t.Errorf("choose(%q, %q) = %q; want %q: %s", tc.version, tc.patches, got, tc.want, tc.reason)
			}
		})
	}
}
