// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// gzipBomb returns a compressed body of 256 MiB.
func gzipBomb(t *testing.T) []byte {
	t.Helper()
	g := NewWithT(t)
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	block := bytes.Repeat([]byte{' '}, 1<<20)
	for range 256 {
		g.Expect(w.Write(block)).Error().NotTo(HaveOccurred())
	}
	g.Expect(w.Close()).To(Succeed())
	return b.Bytes()
}

// endless sends an endless body, without using memory.
func endless(prefix, chunk string) registrytest.Fault {
	block := []byte(strings.Repeat(chunk, 64<<10/len(chunk)))
	return func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		_, err := w.Write([]byte(prefix))
		for err == nil && req.Context().Err() == nil {
			_, err = w.Write(block)
		}
	}
}

// endlessError sends a status and an endless body.
func endlessError(code int) registrytest.Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		w.WriteHeader(code)
		if req.Method != http.MethodHead { // writes to the body of HEAD are discarded, so they never fail
			endless("{", " ")(w, req, next)
		}
	}
}

// drip sends a body byte by byte, so that the connection stays alive.
func drip(w http.ResponseWriter, req *http.Request, _ http.Handler) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-req.Context().Done():
			return
		case <-tick.C:
			_, _ = w.Write([]byte(" "))
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// raw responds with bytes that no HTTP library would send.
func raw(response string) registrytest.Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = conn.Write([]byte(response))
		_ = conn.Close()
	}
}

func compressed(body []byte) registrytest.Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(body)
	}
}

func headers(name string, values ...string) registrytest.Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		w.Header()[name] = values
		next.ServeHTTP(w, req)
	}
}

func repeated(n int, format string) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprintf(format, i)
	}
	return values
}

// TestClient_BoundsHostileRegistries tests malicious responses: they must result in an error or a
// result, within limits of time and memory. The memory includes that of the fake registry.
func TestClient_BoundsHostileRegistries(t *testing.T) {
	const allowed = 48 << 20 // bytes; bodies are limited to 2 MiB, but copied a few times
	gzipped := gzipBomb(t)
	tags := func(list string) registrytest.Fault {
		return registrytest.Body("application/json", `{"name":"app","tags":`+list+`}`)
	}
	for name, tc := range map[string]struct {
		fault registrytest.Fault
		words string // expected in the error of a list, "" for any result
	}{
		"EndlessBody":      {noDigest(endless(`{"name":"`, "x")), "it sent more than the 2097152 bytes"},
		"EndlessTags":      {noDigest(endless(`{"name":"app","tags":["a"`, `,"b"`)), "it sent more than the 2097152 bytes"},
		"EndlessNesting":   {noDigest(endless(`{"name":"app","tags":`, "[")), "it sent more than the 2097152 bytes"},
		"EndlessError":     {noDigest(endlessError(500)), ""},
		"SlowDrip":         {noDigest(drip), "did not answer in time"},
		"CompressionBomb":  {noDigest(compressed(gzipped)), "it sent more than the 2097152 bytes"},
		"BrokenGzip":       {noDigest(compressed([]byte("not gzip"))), ""},
		"DeepNesting":      {noDigest(tags(strings.Repeat("[", 900_000) + strings.Repeat("]", 900_000))), "malformed"},
		"DeepObjects":      {noDigest(tags(strings.Repeat(`{"a":`, 300_000) + "1" + strings.Repeat("}", 300_000))), "malformed"},
		"ManyTags":         {noDigest(tags("[" + strings.Repeat(`"a",`, 500_000) + `"b"]`)), "more than the 1000 tags"},
		"ManyNumbers":      {noDigest(tags("[" + strings.Repeat("1,", 900_000) + "1]")), "more than the 1000 tags"},
		"DuplicateKeys":    {noDigest(registrytest.Body("application/json", `{"name":"app"`+strings.Repeat(`,"tags":["1.0.0"]`, 100_000)+`}`)), ""},
		"HugeHeader":       {headers("X-Padding", strings.Repeat("x", 1<<20)), "sent headers that are too long"},
		"ManyHeaders":      {headers("X-Padding", repeated(100_000, "%d")...), "sent headers that are too long"},
		"EndlessHeaders":   {raw("HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 200_000)), "sent headers that are too long"},
		"BrokenHeader":     {raw("HTTP/1.1 200 OK\r\nLink: <a>\rSet-Cookie: x\n y\x00z\r\n\r\n{}"), ""},
		"SmuggledAnswer":   {raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\n{}"), ""},
		"NotHTTP":          {raw("SSH-2.0-OpenSSH_9.9\r\n" + strings.Repeat("x", 1<<20)), ""},
		"ManyLinks":        {onlyTags(headers("Link", repeated(10_000, `</v2/app/tags/list?n=%d>; rel="last"`)...)), ""},
		"LinkOfCommas":     {onlyTags(headers("Link", "<a>"+strings.Repeat(",", 200_000))), ""},
		"LinkOfParameters": {onlyTags(headers("Link", "<a>"+strings.Repeat(";a=\"b", 40_000))), ""},
		"LinkLoop":         {onlyTags(headers("Link", `</v2/app/tags/list?n=1000>; rel="next"`)), "in a circle"},
		"LinkToMetadata":   {onlyTags(headers("Link", `<http://169.254.169.254/latest/meta-data>; rel="next"`)), "on another host"},
		"AbsurdRetryAfter": {registrytest.RetryAfter(429, strings.Repeat("9", 300)), "limits the rate of requests (429)"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			checkGoroutines(t)
			for operation, read := range readers {
				reg, img := start(t, registrytest.WithTokenAuth("user", canary))
				injectImageFault(reg, tc.fault)
				c := newTestClient(t, withLimits(tightLimits))
				limit := 10 * time.Second
				if name == "SlowDrip" {
					limit = 300 * time.Millisecond
				}
				ctx := timeout(t, limit)
				size, err := allocated(func() error { return read(ctx, c, img, login(img)) })
				t.Logf("%-7s %8d KiB %3d requests: %v", operation, size>>10, reg.Count(registrytest.Any), err)
				g.Expect(size).To(BeNumerically("<=", allowed), "%s: allocated bytes", operation)
				g.Expect(reg.Count(registrytest.Any)).To(BeNumerically("<=", 60), "%s: requests", operation)
				if limit > time.Second && errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: ended by the timeout only", operation)
				}
				if operation == "Tags" {
					checkWords(t, err, tc.words)
				}
				checkHarmless(t, err)
			}
		})
	}
}

// checkWords checks that an error contains the expected words, if any.
func checkWords(t *testing.T, err error, words string) {
	t.Helper()
	if words != "" && (err == nil || !strings.Contains(err.Error(), words)) {
		t.Errorf("got %v, want %q", err, words)
	}
}

// checkHarmless checks that an error contains no control characters.
func checkHarmless(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("the error contains control characters: %q", err)
	}
}

// allocated returns the number of bytes that the process allocated during the call.
func allocated(run func() error) (uint64, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := run()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, err
}

// TestClient_BoundsHostileTokenServers tests the same for token servers.
func TestClient_BoundsHostileTokenServers(t *testing.T) {
	gzipped := gzipBomb(t)
	for name, tc := range map[string]struct {
		fault registrytest.Fault
		words string
	}{
		"Endless":       {endless(`{"token":"`, "x"), "answers with too much"},
		"Bomb":          {compressed(gzipped), "answers with too much"},
		"Nesting":       {registrytest.Body("application/json", `{"a":`+strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)+`}`), "malformed JSON"},
		"Drip":          {drip, "did not answer in time"},
		"NewLine":       {registrytest.Body("application/json", `{"token":"a\r\nX-Evil: b"}`), ""},
		"EndlessError":  {endlessError(403), ""},
		"ForeverValid":  {registrytest.Body("application/json", `{"token":"x","expires_in":1e300}`), ""},
		"NeverValid":    {registrytest.Body("application/json", `{"token":"x","expires_in":-1,"issued_at":"0001-01-01T00:00:00Z"}`), ""},
		"MetadataAfter": {registrytest.Redirect("http://169.254.169.254/latest/api/token"), "at an address that is not allowed"},
		"FileAfter":     {registrytest.Redirect("file:///etc/passwd"), "at an address that is not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			checkGoroutines(t)
			reg, img := start(t, registrytest.WithTokenAuth("user", canary))
			reg.Inject(registrytest.Token, tc.fault)
			c := newTestClient(t, withLimits(tightLimits))
			ctx := timeout(t, map[bool]time.Duration{true: 300 * time.Millisecond, false: 10 * time.Second}[name == "Drip"])
			size, err := allocated(func() error {
				_, err := c.ListTags(ctx, img, login(img))
				return err
			})
			t.Logf("%8d KiB %3d requests: %v", size>>10, reg.Count(registrytest.Any), err)
			if err == nil || !strings.Contains(err.Error(), tc.words) || strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("got %v, want %q", err, tc.words)
			}
			g.Expect(size).To(BeNumerically("<=", 32<<20), "allocated bytes")
			g.Expect(reg.Count(registrytest.Any)).To(BeNumerically("<=", 10), "requests")
		})
	}
}

// TestListTags_DropsHostileTags tests that names with characters that are invalid in tags are
// dropped: they could inject commands into terminals, logs or URLs.
func TestListTags_DropsHostileTags(t *testing.T) {
	reg, img := start(t)
	names := `["\u001b[2J\u001b]0;owned\u0007","1.0.0\nlevel=error","1.0.0\r","../../etc","a/b","a b","a:b","a@sha256:b","a?b","a#b","%2e%2e",` +
		"\"\xff\xfe\",\"1.0.0\u202e\",\"\uff11.0.0\"" + `,"\ud800","","-rf",".hidden","1.0.0"]`
	reg.Inject(registrytest.Tags, registrytest.Body("application/json", `{"name":"app","tags":`+names+`}`))
	list, err := newTestClient(t).List(t.Context(), img, AuthOptions{}, "")
	if err != nil || len(list.Tags) != 1 || list.Tags[0] != "1.0.0" || list.Invalid != 18 {
		t.Errorf("got %q and %d invalid tags, error %v", list.Tags, list.Invalid, err)
	}
}

// TestDigest_IgnoresInvalidHeader tests that an invalid digest header is ignored, and the digest
// of the manifest is computed.
func TestDigest_IgnoresInvalidHeader(t *testing.T) {
	g := NewWithT(t)
	reg := registrytest.Start(t)
	want := reg.Push(t, "app", "1.0.0")
	img := parse(t, reg.Image("app"))
	for _, header := range []string{
		"md5:d41d8cd98f00b204e9800998ecf8427e", "sha512:" + strings.Repeat("a", 128), "sha256:" + strings.Repeat("A", 64), "sha256:" + strings.Repeat("a", 63),
		"sha256:" + strings.Repeat("a", 64) + "\u00a0", "sha256:" + strings.Repeat("a", 65), "sha256:../" + strings.Repeat("a", 61), strings.Repeat("a", 64), "",
	} {
		reg.ClearFaults()
		reg.Inject(registrytest.ManifestHead, registrytest.SetHeader(digestHeader, header))
		g.Expect(newTestClient(t).Digest(t.Context(), img, "1.0.0", AuthOptions{})).To(Equal(want), "%q", header)
	}
}
