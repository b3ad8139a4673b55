// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Fault responds to a request in place of the registry. next responds like the registry.
type Fault func(w http.ResponseWriter, req *http.Request, next http.Handler)

// injection is an injected fault.
type injection struct {
	kind  Kind
	fault Fault
}

// healthy passes the request to the registry.
func healthy(w http.ResponseWriter, req *http.Request, next http.Handler) { next.ServeHTTP(w, req) }

// Inject enables a fault for requests of a kind, until the returned function is called. The fault
// that was injected last takes precedence.
func (r *Registry) Inject(kind Kind, fault Fault) func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	injected := &injection{kind: kind, fault: fault}
	r.faults = append(r.faults, injected)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.faults = slices.DeleteFunc(r.faults, func(i *injection) bool { return i == injected })
	}
}

// ClearFaults removes all injected faults.
func (r *Registry) ClearFaults() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// Times applies the fault to the first n requests.
func Times(n int, fault Fault) Fault {
	var seen atomic.Int64
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if seen.Add(1) > int64(n) {
			next.ServeHTTP(w, req)
			return
		}
		fault(w, req, next)
	}
}

// Status responds with a status and a body.
func Status(code int, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

// RetryAfter responds with a status and the Retry-After header, which is omitted if empty.
func RetryAfter(code int, header string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		if header != "" {
			w.Header().Set("Retry-After", header)
		}
		w.WriteHeader(code)
	}
}

// Body responds with status 200 and a body to every request.
func Body(contentType, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write([]byte(body))
	}
}

// HTML responds with a web page, like captive portals and login pages.
func HTML() Fault {
	return Body("text/html", "<!DOCTYPE html>\n<html><body>Sign in</body></html>")
}

// Redirect responds with a redirect to target.
func Redirect(target string) Fault {
	return func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		http.Redirect(w, req, target, http.StatusTemporaryRedirect)
	}
}

// SetHeader sets a header of the registry's response.
func SetHeader(name, value string) Fault {
	return edit(func(rec *httptest.ResponseRecorder) { rec.Header().Set(name, value) })
}

// DropHeader removes a header from the registry's response.
func DropHeader(name string) Fault {
	return edit(func(rec *httptest.ResponseRecorder) { rec.Header().Del(name) })
}

// Truncate cuts the registry's response after n bytes, with a matching Content-Length, so that the
// client receives a complete body with an incomplete document.
func Truncate(n int) Fault {
	return edit(func(rec *httptest.ResponseRecorder) {
		rec.Body.Truncate(min(n, rec.Body.Len()))
		rec.Header().Set("Content-Length", strconv.Itoa(rec.Body.Len()))
	})
}

// edit changes the registry's response before it is sent.
func edit(change func(*httptest.ResponseRecorder)) Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, req)
		change(recorder)
		replay(w, recorder)
	}
}

// replay sends a recorded response.
func replay(w http.ResponseWriter, recorder *httptest.ResponseRecorder) {
	for name, values := range recorder.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(recorder.Body.Bytes())
}

// CutOff breaks the connection in the middle of the response body.
func CutOff() Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"name":"cut`))
	}
}

// Reset resets the connection without a response.
func Reset() Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler) // HTTP/2 resets the stream, not the connection
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // makes Close reset the connection
		}
		_ = conn.Close()
	}
}

// Hang sends no response until the client gives up or the registry is closed.
func (r *Registry) Hang() Fault {
	return func(_ http.ResponseWriter, req *http.Request, _ http.Handler) {
		select {
		case <-req.Context().Done():
		case <-r.closed:
		}
	}
}

// HangInBody sends headers and the start of a body, and hangs. It doesn't affect HEAD: without a
// body, the client would reuse the hanging connection.
func (r *Registry) HangInBody() Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if req.Method == http.MethodHead {
			next.ServeHTTP(w, req)
			return
		}
		_, _ = w.Write([]byte(`{"name":`))
		_ = http.NewResponseController(w).Flush()
		r.Hang()(w, req, next)
	}
}

// Delay responds after a delay.
func Delay(d time.Duration) Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		select {
		case <-time.After(d):
			next.ServeHTTP(w, req)
		case <-req.Context().Done():
		}
	}
}

// Huge responds with about n bytes of JSON, which is a valid page with one tag.
func Huge(n int) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		_, _ = fmt.Fprintf(w, `{"name":"huge","tags":["huge"],"padding":"%s"}`, strings.Repeat("x", n))
	}
}

// EndlessPages responds with pages of tags that each link to another page.
func EndlessPages() Fault {
	var page atomic.Int64
	return func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		n := page.Add(1)
		w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, req.URL.Path, n))
		_, _ = fmt.Fprintf(w, `{"name":"endless","tags":["tag-%d"]}`, n)
	}
}
