// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
)

// fault answers requests in place of a registry. next is what that would answer.
type fault struct {
	name   string
	answer func(w http.ResponseWriter, req *http.Request, next http.Handler)
	// lacking has lists lack tags.
	lacking bool
}

// faults are what a registry suffers from in turn.
func faults() []*fault {
	return []*fault{
		{name: "503", answer: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			http.Error(w, "unavailable", http.StatusServiceUnavailable)
		}},
		{name: "429 with Retry-After", answer: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Retry-After", "2")
			http.Error(w, "slow down", http.StatusTooManyRequests)
		}},
		{name: "hangs", answer: func(_ http.ResponseWriter, req *http.Request, _ http.Handler) {
			<-req.Context().Done() // the client gives up
		}},
		{name: "resets", answer: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // what makes the close a reset
			}
			_ = conn.Close()
		}},
		{name: "half of the JSON", answer: func(w http.ResponseWriter, req *http.Request, next http.Handler) {
			whole := httptest.NewRecorder()
			next.ServeHTTP(whole, req)
			body := whole.Body.Bytes()
			for name, values := range whole.Header() {
				w.Header()[name] = values
			}
			if req.Method != http.MethodHead {
				body = body[:len(body)/2]
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			}
			w.WriteHeader(whole.Code)
			_, _ = w.Write(body)
		}},
		{name: "short lists", lacking: true, answer: func(w http.ResponseWriter, req *http.Request, next http.Handler) {
			next.ServeHTTP(w, req)
		}},
	}
}

// suffer switches a fault on, or the one that is on off where it is nil.
func (r *syntheticRegistry) suffer(f *fault) {
	r.churn.lacking.Store(f != nil && f.lacking)
	r.fault.Store(f)
}
