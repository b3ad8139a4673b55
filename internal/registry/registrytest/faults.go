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

// Fault answers a request in place of the registry. next is what the registry
// would answer.
type Fault func(w http.ResponseWriter, req *http.Request, next http.Handler)

// injection is a fault that is switched on.
type injection struct {
	kind  Kind
	fault Fault
}

// healthy is no fault.
func healthy(w http.ResponseWriter, req *http.Request, next http.Handler) { next.ServeHTTP(w, req) }

// Inject switches a fault on for requests of a kind, until the function that it
// returns is called. The fault that was injected last counts.
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

// Heal switches all faults off.
func (r *Registry) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// Times is the fault for the first n requests.
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

// Status answers with a status, and with the body as it is.
func Status(code int, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

// RetryAfter answers with a status and the header Retry-After, which is left
// out where it is empty.
func RetryAfter(code int, header string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		if header != "" {
			w.Header().Set("Retry-After", header)
		}
		w.WriteHeader(code)
	}
}

// Body answers with status 200 and a body, whatever it was asked for.
func Body(contentType, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write([]byte(body))
	}
}

// HTML answers with a page, as portals and login pages do.
func HTML() Fault {
	return Body("text/html", "<!DOCTYPE html>\n<html><body>Sign in</body></html>")
}

// Redirect answers with a redirect.
func Redirect(target string) Fault {
	return func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		http.Redirect(w, req, target, http.StatusTemporaryRedirect)
	}
}

// SetHeader sets a header in the registry's answer.
func SetHeader(name, value string) Fault {
	return edit(func(rec *httptest.ResponseRecorder) { rec.Header().Set(name, value) })
}

// DropHeader leaves a header out of the registry's answer.
func DropHeader(name string) Fault {
	return edit(func(rec *httptest.ResponseRecorder) { rec.Header().Del(name) })
}

// Truncate ends the registry's answer, and says so, after n bytes: what is
// sent is a whole body of half a document.
func Truncate(n int) Fault {
	return edit(func(rec *httptest.ResponseRecorder) {
		rec.Body.Truncate(min(n, rec.Body.Len()))
		rec.Header().Set("Content-Length", strconv.Itoa(rec.Body.Len()))
	})
}

// edit changes the registry's answer before it is sent.
func edit(change func(*httptest.ResponseRecorder)) Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, req)
		change(recorder)
		replay(w, recorder)
	}
}

// replay sends an answer that was recorded.
func replay(w http.ResponseWriter, recorder *httptest.ResponseRecorder) {
	for name, values := range recorder.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(recorder.Body.Bytes())
}

// CutOff breaks the connection in the middle of the answer's body.
func CutOff() Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"name":"cut`))
	}
}

// Reset resets the connection without an answer.
func Reset() Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler) // HTTP/2 has no connection to reset, but a stream
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // what makes the close a reset
		}
		_ = conn.Close()
	}
}

// Hang answers nothing, until the client gives up or the registry is closed.
func (r *Registry) Hang() Fault {
	return func(_ http.ResponseWriter, req *http.Request, _ http.Handler) {
		select {
		case <-req.Context().Done():
		case <-r.closed:
		}
	}
}

// HangInBody answers with headers and the start of a body, and hangs then. It
// leaves a HEAD alone: there is no body, so that the client would use the
// connection again, which hangs.
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

// Delay answers later.
func Delay(d time.Duration) Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		select {
		case <-time.After(d):
			next.ServeHTTP(w, req)
		case <-req.Context().Done():
		}
	}
}

// Huge answers with JSON of about n bytes that is a valid page of one tag.
func Huge(n int) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		_, _ = fmt.Fprintf(w, `{"name":"huge","tags":["huge"],"padding":"%s"}`, strings.Repeat("x", n))
	}
}

// EndlessPages answers with pages of tags of which each names another one.
func EndlessPages() Fault {
	var page atomic.Int64
	return func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		n := page.Add(1)
		w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, req.URL.Path, n))
		_, _ = fmt.Fprintf(w, `{"name":"endless","tags":["tag-%d"]}`, n)
	}
}
