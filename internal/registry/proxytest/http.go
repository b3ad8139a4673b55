// SPDX-License-Identifier: Apache-2.0

package proxytest

import (
	"encoding/base64"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
)

// StartHTTP starts an HTTP proxy.
func StartHTTP(t testing.TB, opts ...Option) *Proxy {
	t.Helper()
	p := start(t, "http", opts)
	server := &http.Server{Handler: http.HandlerFunc(p.serveHTTP), ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(p.listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return p
}

func (p *Proxy) serveHTTP(w http.ResponseWriter, req *http.Request) {
	username, password := proxyLogin(req)
	if !p.admit(req.Host, username, password) {
		w.Header().Set("Proxy-Authenticate", `Basic realm="proxytest"`)
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	if req.Method != http.MethodConnect {
		p.forward(w, req)
		return
	}
	target, err := p.dial(req.Context(), req.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	client, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		_ = target.Close()
		return
	}
	_, _ = buffered.WriteString("HTTP/1.1 200 Connection established\r\n\r\n")
	_ = buffered.Flush()
	tunnel(client, target)
}

// forward forwards an unencrypted request. It doesn't keep connections alive, so that open
// connections to a registry belong to clients.
func (p *Proxy) forward(w http.ResponseWriter, req *http.Request) {
	reverse := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.Out.Host = r.In.Host },
		Transport: &http.Transport{DisableKeepAlives: true},
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	reverse.ServeHTTP(w, req)
}

// proxyLogin returns the proxy credentials of a request.
func proxyLogin(req *http.Request) (string, string) {
	encoded, _ := strings.CutPrefix(req.Header.Get("Proxy-Authorization"), "Basic ")
	decoded, _ := base64.StdEncoding.DecodeString(encoded)
	username, password, _ := strings.Cut(string(decoded), ":")
	return username, password
}
