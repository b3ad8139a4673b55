// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
)

// fault answers requests in place of a registry. next is what that would answer.
type fault func(w http.ResponseWriter, req *http.Request, next http.Handler)

// faults are what a registry suffers from in turn.
var faults = []fault{unavailable, rateLimited, hangs, resets, halved, short}

func unavailable(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	http.Error(w, "unavailable", http.StatusServiceUnavailable)
}

func rateLimited(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	w.Header().Set("Retry-After", "2")
	http.Error(w, "slow down", http.StatusTooManyRequests)
}

func hangs(_ http.ResponseWriter, req *http.Request, _ http.Handler) {
	<-req.Context().Done() // the client gives up
}

func resets(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // what makes the close a reset
	}
	_ = conn.Close()
}

// halved answers with the first half of the JSON.
func halved(w http.ResponseWriter, req *http.Request, next http.Handler) {
	whole := httptest.NewRecorder()
	next.ServeHTTP(whole, req)
	body := whole.Body.Bytes()
	maps.Copy(w.Header(), whole.Header())
	if req.Method != http.MethodHead {
		body = body[:len(body)/2]
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(whole.Code)
	_, _ = w.Write(body)
}

// lackingParameter is how many of the newest tags a list is to lack.
const lackingParameter = "lacking"

// short has lists lack the newest tags, which look complete.
func short(w http.ResponseWriter, req *http.Request, next http.Handler) {
	if req.URL.Path != "/token" {
		req.URL.RawQuery = fmt.Sprintf("%s=%d", lackingParameter, churnLacking)
	}
	next.ServeHTTP(w, req)
}

// suffer switches a fault on, or the one that is on off where it is nil.
func (r *syntheticRegistry) suffer(f fault) {
	if f == nil {
		r.fault.Store(nil)
		return
	}
	r.fault.Store(&f)
}
