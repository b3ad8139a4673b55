// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// canary is the secret of all tests. No error may contain it.
const canary = "canary-5ecret"

// testClient is a Client whose operations take an image and an identity, and each open their own
// repository.
type testClient struct{ *Client }

func (c *testClient) access(img image.Name, auth AuthOptions) Access {
	return Access{Image: img, Proxy: proxyName(auth), Anonymous: auth.IsAnonymous(), Auth: func(context.Context) (AuthOptions, error) { return auth, nil }}
}

// proxyName returns the proxy key of an identity, as callers derive it from the proxy Secret.
func proxyName(auth AuthOptions) string {
	if auth.Transport.Proxy == nil {
		return ""
	}
	return auth.Transport.Key
}

// once opens a repository for one operation.
func once[T any](c *testClient, img image.Name, auth AuthOptions, do func(*Repository) (T, error)) (T, error) {
	repo := c.Open(c.access(img, auth))
	defer repo.Close()
	return do(repo)
}

func (c *testClient) List(ctx context.Context, img image.Name, auth AuthOptions, known Fingerprint) (TagList, error) {
	return once(c, img, auth, func(r *Repository) (TagList, error) { return r.List(ctx, known) })
}

func (c *testClient) ListTags(ctx context.Context, img image.Name, auth AuthOptions) ([]string, error) {
	list, err := c.List(ctx, img, auth, "")
	return list.Tags, err
}

func (c *testClient) Digest(ctx context.Context, img image.Name, tag string, auth AuthOptions) (string, error) {
	return once(c, img, auth, func(r *Repository) (string, error) { return r.Digest(ctx, tag) })
}

func (c *testClient) Exists(ctx context.Context, img image.Name, tag string, auth AuthOptions) (bool, error) {
	return once(c, img, auth, func(r *Repository) (bool, error) { return r.Exists(ctx, tag) })
}

func (c *testClient) Manifest(ctx context.Context, img image.Name, reference string, auth AuthOptions) (Manifest, error) {
	return once(c, img, auth, func(r *Repository) (Manifest, error) { return r.Manifest(ctx, reference) })
}

func (c *testClient) Blob(ctx context.Context, img image.Name, digest string, limit int64, auth AuthOptions) ([]byte, error) {
	return once(c, img, auth, func(r *Repository) ([]byte, error) { return r.Blob(ctx, digest, limit) })
}

func (c *testClient) Referrers(ctx context.Context, img image.Name, digest string, auth AuthOptions) ([]Referrer, error) {
	return once(c, img, auth, func(r *Repository) ([]Referrer, error) { return r.Referrers(ctx, digest) })
}

// newTestClient returns a client that is closed when the test ends. The test fails if a response
// body was not closed.
func newTestClient(t testing.TB, opts ...ClientOption) *testClient {
	t.Helper()
	c := NewClient(opts...)
	var open atomic.Int64
	base := c.base
	c.base = func(config transport.Config) http.RoundTripper {
		if config.Key != "" {
			return base(config)
		}
		return &bodyCounter{inner: base(config), open: &open}
	}
	t.Cleanup(func() {
		c.Close()
		if open := open.Load(); open != 0 {
			t.Errorf("%d response bodies were not closed", open)
		}
	})
	return &testClient{c}
}

// withLimits sets the limits of a client.
func withLimits(limits Limits) ClientOption { return func(c *Client) { c.limits = limits } }

// tightLimits are limits that tests reach with little memory.
var tightLimits = Limits{BodyBytes: 2 << 20, ManifestBytes: 1 << 20, Pages: 50, Tags: 1000, ListBytes: 2 << 20}

// bodyCounter counts the response bodies that are not closed.
type bodyCounter struct {
	inner http.RoundTripper
	open  *atomic.Int64
}

func (b *bodyCounter) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.inner.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	b.open.Add(1)
	resp.Body = &countedBody{ReadCloser: resp.Body, open: b.open}
	return resp, nil
}

type countedBody struct {
	io.ReadCloser
	open   *atomic.Int64
	closed atomic.Bool
}

func (b *countedBody) Close() error {
	if !b.closed.Swap(true) {
		b.open.Add(-1)
	}
	return b.ReadCloser.Close()
}

// checkGoroutines fails the test if it ends with more goroutines than it started with. Call it
// before anything is started.
func checkGoroutines(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for range 100 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		stacks := make([]byte, 1<<20)
		t.Errorf("goroutines leaked: %d before, %d after\n%s",
			before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
	})
}

// parse parses an image name.
func parse(t testing.TB, name string) image.Name {
	t.Helper()
	img, err := image.Parse(name, false)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return img
}

// login returns credentials for an image that the fake registries accept.
func login(img image.Name) AuthOptions {
	return NewAuthOptions(img, authn.AuthConfig{Username: "user", Password: canary}, `Secret "regcred"`)
}

// start returns a registry with the image "app" and its tags 1.0.0 and 1.1.0, and the name of the
// image.
func start(t testing.TB, opts ...registrytest.Option) (*registrytest.Registry, image.Name) {
	t.Helper()
	reg := registrytest.Start(t, opts...)
	reg.PushTags(t, "app", "1.0.0", "1.1.0")
	return reg, parse(t, reg.Image("app"))
}

// timeout returns a context with a timeout.
func timeout(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// checkError checks that err is an *Error with a reason, and that its text contains the given
// words, but no secret and no port except the registry's.
func checkError(t *testing.T, err error, reason string, words ...string) {
	t.Helper()
	g := NewWithT(t)
	e := errorOf(t, err)
	g.Expect(e.Reason()).To(Equal(reason), "got reason %s, want %s, of: %v", e.Reason(), reason, err)
	for _, word := range words {
		g.Expect(err.Error()).To(ContainSubstring(word), "%q is missing in: %v", word, err)
	}
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		g.Expect(cause.Error()).NotTo(ContainSubstring(canary), "the error contains a secret: %v", cause)
	}
	g.Expect(strings.ReplaceAll(err.Error(), e.Host, "HOST")).NotTo(ContainSubstring("127.0.0.1:"), "the error contains an ephemeral address: %v", err)
}

// errorOf returns err as an *Error.
func errorOf(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	NewWithT(t).Expect(errors.As(err, &e)).To(BeTrue(), "got error %v (%T), want an *Error", err, err)
	return e
}

// discard discards the server logs about clients that fail on purpose.
var discard = log.New(io.Discard, "", 0)

// unusedAddress returns a loopback address without a listener.
func unusedAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// failingDialer returns a dialer that always fails.
func failingDialer(err error) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
}

// startGreeter accepts connections and sends a text on each, without reading. It returns its
// address.
func startGreeter(t *testing.T, text string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(text))
			conns = append(conns, conn)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
		for _, conn := range conns {
			_ = conn.Close()
		}
	})
	return listener.Addr().String()
}

// dialTo returns a dialer that always connects to one address.
func dialTo(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
}
