// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxcd/image-reflector-controller/internal/registry/proxytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// outcome is an outcome of a request: success, a fault, or cancellation.
type outcome func(reg *registrytest.Registry, cancel context.CancelFunc) registrytest.Fault

// outcomes returns all outcomes: the faults of TestClient_HandlesFaults and some more.
func outcomes() map[string]outcome {
	cases := map[string]outcome{
		"canceled":         cancelThen(func(reg *registrytest.Registry) registrytest.Fault { return reg.Hang() }),
		"canceled in body": cancelThen(func(reg *registrytest.Registry) registrytest.Fault { return reg.HangInBody() }),
	}
	for name, fault := range map[string]registrytest.Fault{
		"ok":              func(w http.ResponseWriter, req *http.Request, next http.Handler) { next.ServeHTTP(w, req) },
		"429 with a body": registrytest.Status(429, strings.Repeat(canary, 1<<12)),
		"huge error":      registrytest.Status(500, strings.Repeat(canary, 1<<18)),
		"HTML":            registrytest.HTML(),
	} {
		cases[name] = func(*registrytest.Registry, context.CancelFunc) registrytest.Fault { return fault }
	}
	for name, tc := range faultCases {
		cases[name] = func(reg *registrytest.Registry, _ context.CancelFunc) registrytest.Fault { return tc.fault(reg) }
	}
	return cases
}

// cancelThen cancels the operation when its request arrives.
func cancelThen(newFault func(*registrytest.Registry) registrytest.Fault) outcome {
	return func(reg *registrytest.Registry, cancel context.CancelFunc) registrytest.Fault {
		fault := newFault(reg)
		return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
			cancel()
			fault(w, req, next)
		}
	}
}

// TestClient_LeaksNoConnections tests that no outcome of any request leaks a goroutine, a body or
// a connection, for all operations and transports, and that metrics contain no secret.
func TestClient_LeaksNoConnections(t *testing.T) {
	identities := map[string]func(*testing.T) AuthOptions{
		"Default": func(*testing.T) AuthOptions { return AuthOptions{} },
		"Custom":  func(*testing.T) AuthOptions { return via("custom", nil, nil) },
		"Proxied": func(t *testing.T) AuthOptions {
			proxy, err := url.Parse(proxytest.StartHTTP(t).Address())
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			return via("proxied", nil, proxy)
		},
	}
	for name, newIdentity := range identities {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			reg, img := start(t, registrytest.WithTokenAuth("user", canary))
			auth := login(img)
			auth.Transport = newIdentity(t).Transport
			clock, metrics := registrytest.NewClock(), prometheus.NewRegistry()
			c := newTestClient(t, withClock(clock), withLimits(tightLimits), WithMetrics(metrics))
			for _, kind := range []registrytest.Kind{registrytest.Ping, registrytest.Token, registrytest.Any} {
				for _, end := range outcomes() {
					for _, read := range readers {
						clock.Advance(3 * time.Hour) // all cached logins expire
						ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
						removeFault := reg.Inject(kind, end(reg, cancel))
						_ = read(ctx, c, img, auth)
						removeFault()
						cancel()
					}
				}
			}
			g := NewWithT(t)
			g.SetDefaultEventuallyTimeout(10 * time.Second)
			clock.Advance(3 * time.Hour)
			for _, read := range readers {
				g.Expect(read(t.Context(), c, img, auth)).To(Succeed(), "after all faults are removed")
			}
			g.Eventually(reg.Connections).Should(BeNumerically("<=", 8), "sequential operations need one connection, and a few may have been dialed in vain")
			c.Close()
			g.Eventually(reg.Connections).Should(BeZero())
			families, err := metrics.Gather()
			g.Expect(err).NotTo(HaveOccurred())
			for _, family := range families {
				g.Expect(family.String()).NotTo(ContainSubstring(canary))
			}
		})
	}
}
