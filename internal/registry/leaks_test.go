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

// ending is how a request may end: for the better, or by a fault.
type ending func(reg *registrytest.Registry, giveUp context.CancelFunc) registrytest.Fault

// endings are all kinds of them: those of TestClient_HandlesFaults, and some more.
func endings() map[string]ending {
	all := map[string]ending{
		"given up":      whenAsked(func(reg *registrytest.Registry) registrytest.Fault { return reg.Hang() }),
		"given up late": whenAsked(func(reg *registrytest.Registry) registrytest.Fault { return reg.HangInBody() }),
	}
	for name, fault := range map[string]registrytest.Fault{
		"ok":              func(w http.ResponseWriter, req *http.Request, next http.Handler) { next.ServeHTTP(w, req) },
		"429 with a body": registrytest.Status(429, strings.Repeat(canary, 1<<12)),
		"huge error":      registrytest.Status(500, strings.Repeat(canary, 1<<18)),
		"HTML":            registrytest.HTML(),
	} {
		all[name] = func(*registrytest.Registry, context.CancelFunc) registrytest.Fault { return fault }
	}
	for name, tc := range faultCases {
		all[name] = func(reg *registrytest.Registry, _ context.CancelFunc) registrytest.Fault { return tc.fault(reg) }
	}
	return all
}

// whenAsked has whoever asks give up as soon as the request arrived.
func whenAsked(then func(*registrytest.Registry) registrytest.Fault) ending {
	return func(reg *registrytest.Registry, giveUp context.CancelFunc) registrytest.Fault {
		fault := then(reg)
		return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
			giveUp()
			fault(w, req, next)
		}
	}
}

// TestClient_LeaksNoConnections tests that no ending of any request of any operation leaves a
// goroutine, a body or a connection behind, by whatever way the registry is
// reached, and that no metric has learned a secret.
func TestClient_LeaksNoConnections(t *testing.T) {
	routes := map[string]func(*testing.T) AuthOptions{
		"Default": func(*testing.T) AuthOptions { return AuthOptions{} },
		"Routed":  func(*testing.T) AuthOptions { return via("routed", nil, nil) },
		"Proxied": func(t *testing.T) AuthOptions {
			proxy, err := url.Parse(proxytest.StartHTTP(t).Address())
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			return via("proxied", nil, proxy)
		},
	}
	for name, way := range routes {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			reg, img := start(t, registrytest.WithTokenAuth("user", canary))
			auth := login(img)
			auth.Transport = way(t).Transport
			clock, metrics := registrytest.NewClock(), prometheus.NewRegistry()
			c := newTestClient(t, withClock(clock), withLimits(tightLimits), WithMetrics(metrics))
			for _, kind := range []registrytest.Kind{registrytest.Ping, registrytest.Token, registrytest.Any} {
				for _, end := range endings() {
					for _, read := range readers {
						clock.Advance(3 * time.Hour) // nothing is known any more
						ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
						heal := reg.Inject(kind, end(reg, cancel))
						_ = read(ctx, c, img, auth)
						heal()
						cancel()
					}
				}
			}
			g := NewWithT(t)
			g.SetDefaultEventuallyTimeout(10 * time.Second)
			clock.Advance(3 * time.Hour)
			for _, read := range readers {
				g.Expect(read(t.Context(), c, img, auth)).To(Succeed(), "everything works after all of that")
			}
			g.Eventually(reg.Connections).Should(BeNumerically("<=", 8), "one after the other needs one, and some that were dialed when it became free")
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
