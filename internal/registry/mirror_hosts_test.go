// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// TestMirror_HasOnlyItsCapabilities checks a mirror that is not trusted with tags.
func TestMirror_HasOnlyItsCapabilities(t *testing.T) {
	g, m := NewWithT(t), startMirrored(t)
	m.testClient = newTestClient(t, mirrorsIn(t, prefixed(m.origin.Host(), m.mirror.Host(), `capabilities = ["pull"]`), nil))
	g.Expect(m.ListTags(t.Context(), m.img, AuthOptions{})).To(HaveLen(2))
	digest, err := m.Digest(t.Context(), m.img, "1.0.0", AuthOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(m.mirror.Requests()).To(BeEmpty())
	m.origin.Reset()
	g.Expect(m.Manifest(t.Context(), m.img, digest, AuthOptions{})).To(HaveField("Digest", digest))
	g.Expect(m.origin.Requests()).To(BeEmpty())

	file := fmt.Sprintf("[%q]\nserver = \"http://%s\"\ncapabilities = [\"pull\"]\n", m.origin.Host(), m.mirror.Host())
	_, err = newTestClient(t, mirrorsIn(t, file, nil)).ListTags(t.Context(), m.img, AuthOptions{})
	checkError(t, err, v1.ReadOperationFailedReason, "none of its mirrors has the capability: add resolve, for tags, or pull, for digests")
}

// TestMirror_HasItsOwnLimiter checks that an operation is deferred if the limits of a mirror are
// exhausted, and that the ticket of a mirror that failed is released at once.
func TestMirror_HasItsOwnLimiter(t *testing.T) {
	g, m := NewWithT(t), startMirrored(t, WithRateLimits(ratelimit.Config{InFlight: 1}))
	inFlight := func(reg *registrytest.Registry) float64 {
		return testutil.ToFloat64(m.metrics.inFlight.WithLabelValues(reg.Host()))
	}
	granted := 0
	access := m.access(m.img, AuthOptions{})
	access.Granted = func() { granted++ }
	first := m.Open(access)
	g.Expect(first.List(t.Context(), "")).Error().NotTo(HaveOccurred())
	g.Expect([]float64{inFlight(m.mirror), inFlight(m.origin)}).To(Equal([]float64{1, 0}))
	_, err := m.ListTags(t.Context(), m.img, AuthOptions{})
	var busy *ratelimit.BusyError
	g.Expect(errors.As(err, &busy)).To(BeTrue(), "got %v", err)
	g.Expect(busy.Host).To(Equal(m.mirror.Host()))
	g.Expect(m.fallbacks).To(BeEmpty())

	m.mirror.Inject(registrytest.Any, registrytest.Status(500, ""))
	g.Expect(first.Digest(t.Context(), "1.0.0")).NotTo(BeEmpty())
	g.Expect([]float64{inFlight(m.mirror), inFlight(m.origin)}).To(Equal([]float64{0, 1}))
	_, err = m.ListTags(t.Context(), m.img, AuthOptions{})
	g.Expect(errors.As(err, &busy)).To(BeTrue(), "the limits of the origin are exhausted: %v", err)
	first.Close()
	g.Expect([]float64{inFlight(m.mirror), inFlight(m.origin)}).To(Equal([]float64{0, 0}))
	g.Expect(granted).To(Equal(1), "calls of Granted")
	g.Expect(m.ListTags(t.Context(), m.img, AuthOptions{})).To(HaveLen(2))
}

// TestMirror_ConcurrentOperations checks that operations in flight continue when another one finds
// the mirror failing.
func TestMirror_ConcurrentOperations(t *testing.T) {
	g, m := NewWithT(t), startMirrored(t)
	m.testClient = newTestClient(t, mirrorsIn(t, prefixed(m.origin.Host(), m.mirror.Host(), ""), nil))
	m.mirror.Inject(registrytest.Any, registrytest.Times(3, registrytest.Status(500, "")))
	repo := m.Open(m.access(m.img, AuthOptions{}))
	var group sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		group.Go(func() { _, errs[i] = repo.Digest(t.Context(), "1.0.0") })
	}
	group.Wait()
	g.Expect(errs).To(HaveEach(BeNil()))
	repo.Close()
	for _, reg := range []*registrytest.Registry{m.mirror, m.origin} {
		g.Expect(testutil.ToFloat64(m.metrics.inFlight.WithLabelValues(reg.Host()))).To(BeZero())
	}
}

// TestMirror_GetsOnlyItsOwnCredentials checks that the credentials of neither host reach the other
// one. startFakes checks the requests for leaks.
func TestMirror_GetsOnlyItsOwnCredentials(t *testing.T) {
	products := map[string]registrytest.Product{}
	for _, p := range registrytest.Products() {
		products[p.Host] = p
	}
	const origin, mirror = "ghcr.io", "demo.goharbor.io"
	identity := func(host string, img image.Name) AuthOptions {
		return NewAuthOptions(img, products[host].Password, "Secret")
	}
	for name, fault := range map[string]registrytest.Fault{
		"Serves": nil, "Refuses": registrytest.Status(401, ""), "Fails": registrytest.Status(500, ""), "Redirects": registrytest.RedirectHost(origin),
		"Challenges": challenge(`Bearer realm="https://ghcr.io/token",service="ghcr.io"`), "Asks": challenge(`Basic realm="ghcr.io"`),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			fakes, c := startFakes(t)
			mirrorsIn(t, `["ghcr.io".host."https://demo.goharbor.io"]`, nil)(c.Client)
			img := parse(t, origin+"/team/app")
			for _, host := range []string{origin, mirror} {
				fakes.Registry(host).Push(t, "team/app", "1.0.0")
				fakes.Registry(host).SetPrivate("team/app")
			}
			if fault != nil {
				fakes.Registry(mirror).Inject(registrytest.Any, fault)
			}
			fakes.Reset()
			access := c.access(img, identity(origin, img))
			access.MirrorAuth = func(_ context.Context, at image.Name) (AuthOptions, error) {
				auth := identity(mirror, at)
				auth.Transport = transport.Config{Key: "client certificate of the origin", TLS: &tls.Config{MinVersion: tls.VersionTLS12}}
				return auth, nil
			}
			keys, base := map[string]bool{}, c.base
			c.base = func(config transport.Config) http.RoundTripper {
				keys[config.Key] = true
				return base(config)
			}
			for range 2 {
				repo := c.Open(access)
				g.Expect(repo.List(t.Context(), "")).To(HaveField("Tags", Equal([]string{"1.0.0"})))
				digest, err := repo.Digest(t.Context(), "1.0.0")
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(repo.Manifest(t.Context(), digest)).Error().NotTo(HaveOccurred())
				g.Expect(repo.Referrers(t.Context(), digest)).Error().NotTo(HaveOccurred())
				repo.Close()
			}
			g.Expect(keys).To(Equal(map[string]bool{"": true}), "certificates of the origin don't reach the mirror")
			if fault == nil {
				g.Expect(fakes.Registry(mirror).Count(registrytest.Tags)).To(BeNumerically(">=", 2))
			}
			// An identity for the origin is refused before any request to the mirror.
			access.MirrorAuth = func(context.Context, image.Name) (AuthOptions, error) { return identity(origin, img), nil }
			fakes.Reset()
			repo := c.Open(access)
			defer repo.Close()
			g.Expect(repo.List(t.Context(), "")).Error().NotTo(HaveOccurred())
			g.Expect(fakes.Registry(mirror).Requests()).To(BeEmpty())
		})
	}
}

// TestMirror_OfAnotherRegistryCostsNothing compares the requests with and without a file.
func TestMirror_OfAnotherRegistryCostsNothing(t *testing.T) {
	counts := func(opts ...ClientOption) map[registrytest.Kind]int {
		g := NewWithT(t)
		reg, img := start(t)
		c := newTestClient(t, opts...)
		reg.Reset()
		for range 2 {
			g.Expect(c.ListTags(t.Context(), img, AuthOptions{})).To(HaveLen(2))
			g.Expect(c.Digest(t.Context(), img, "1.0.0", AuthOptions{})).NotTo(BeEmpty())
			g.Expect(c.Exists(t.Context(), img, "9.9.9", AuthOptions{})).To(BeFalse())
		}
		return reg.Counts()
	}
	NewWithT(t).Expect(counts(mirrorsIn(t, `["quay.io".host."https://m.example.com"]`, nil))).To(Equal(counts()))
}

// TestUnreachableHosts_OnlyExpire checks that a host is kept beside many others, and that none is kept
// forever.
func TestUnreachableHosts_OnlyExpire(t *testing.T) {
	g, clock := NewWithT(t), registrytest.NewClock()
	c := newTestClient(t, withClock(clock))
	add := func(i int) *host {
		h := &host{client: c.Client, access: Access{Image: parse(t, fmt.Sprintf("m%d.example.com/app", i))}}
		c.unreachable.add(h, errors.New("down"))
		return h
	}
	first := add(0)
	for i := range 2 * maxHostLabels {
		add(i)
	}
	g.Expect(c.unreachable.get(first)).To(HaveOccurred())
	clock.Advance(unreachableFor)
	g.Expect(c.unreachable.get(first)).To(Succeed())
	add(1)
	g.Expect(c.unreachable.hosts).To(HaveLen(1))
}

// TestLimitFallbacks_ReportsOncePerMinute checks that many operations do not fill the log, and that
// content that a mirror does not have is no failure.
func TestLimitFallbacks_ReportsOncePerMinute(t *testing.T) {
	var reports []string
	report := LimitFallbacks(func(f Fallback) { reports = append(reports, f.Mirror+" "+f.Reason) })
	for range 3 {
		report(Fallback{Mirror: "a", Reason: "error"})
		report(Fallback{Mirror: "a", Reason: "timeout"})
		report(Fallback{Mirror: "a", Reason: "not_found"})
		report(Fallback{Mirror: "b", Reason: "error"})
	}
	NewWithT(t).Expect(reports).To(Equal([]string{"a error", "a timeout", "b error"}))
}
