// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/cache"
	"github.com/google/go-containerregistry/pkg/authn"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
)

// newToken returns credentials that expire after d.
func newToken(username string, d time.Duration) *auth.ArtifactRegistryCredentials {
	return &auth.ArtifactRegistryCredentials{
		Authenticator: authn.FromConfig(authn.AuthConfig{Username: username}),
		ExpiresAt:     time.Now().Add(d),
	}
}

// newTokenCache returns a cache with the given settings.
func newTokenCache(t *testing.T, size int, maxDuration time.Duration) *TokenCache {
	t.Helper()
	c, err := NewTokenCache(size, maxDuration, prometheus.NewRegistry())
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return c
}

func TestTokenCache_RenewsBeforeExpiry(t *testing.T) {
	const hour = time.Hour
	cases := map[string]struct {
		reason      string
		size        int
		maxDuration time.Duration
		lifetime    time.Duration
		wait        time.Duration
		wantCached  bool
	}{
		"Fresh":      {reason: "the token is still valid", size: 10, maxDuration: hour, lifetime: hour, wait: 47 * time.Minute, wantCached: true},
		"FourFifths": {reason: "a token is renewed before it expires", size: 10, maxDuration: hour, lifetime: hour, wait: 48 * time.Minute},
		"Maximum":    {reason: "tokens with a long lifetime are renewed too", size: 10, maxDuration: hour, lifetime: 12 * hour, wait: hour},
		"Flag":       {reason: "the flag reduces the maximum", size: 10, maxDuration: time.Minute, lifetime: hour, wait: time.Minute},
		"TooLong":    {reason: "the flag can't exceed the maximum of the library", size: 10, maxDuration: 24 * hour, lifetime: 24 * hour, wait: cache.TokenMaxDuration},
		"Expired":    {reason: "an expired token", size: 10, maxDuration: hour, lifetime: -time.Minute},
		"NoCache":    {reason: "the flag disables the cache", size: 0, maxDuration: hour, lifetime: hour},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				c, fetched := newTokenCache(t, tc.size, tc.maxDuration), 0
				get := func() {
					got, err := c.get(t.Context(), "key", func(context.Context) (*auth.ArtifactRegistryCredentials, error) {
						fetched++
						return newToken("user", tc.lifetime), nil
					})
					g.Expect(err).NotTo(HaveOccurred(), tc.reason)
					g.Expect(got.Username).To(Equal("user"), tc.reason)
				}
				get()
				time.Sleep(tc.wait)
				get()
				g.Expect(fetched == 1).To(Equal(tc.wantCached), "%s: fetched %d times", tc.reason, fetched)
			})
		})
	}
}

func TestTokenCache_SeparatesKeys(t *testing.T) {
	g := NewWithT(t)
	c := newTokenCache(t, 10, time.Hour)
	for _, key := range []string{"a", "b", "a", "b"} {
		g.Expect(c.get(t.Context(), key, func(context.Context) (*auth.ArtifactRegistryCredentials, error) { return newToken(key, time.Hour), nil })).To(HaveField("Username", Equal(key)))
	}
}

// TestTokenCache_DoesNotBlockOnHangingCloud tests that a hanging cloud neither blocks requests to
// other clouds nor callers beyond their timeout.
func TestTokenCache_DoesNotBlockOnHangingCloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTokenCache(t, 10, time.Hour)
		var requests atomic.Int32
		hang := func(ctx context.Context) (*auth.ArtifactRegistryCredentials, error) {
			requests.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.get(ctx, "hangs", hang); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		if _, err := c.get(t.Context(), "other", func(context.Context) (*auth.ArtifactRegistryCredentials, error) {
			return newToken("user", time.Hour), nil
		}); err != nil || time.Since(start) != time.Second {
			t.Errorf("got %v after %v, want the other cloud's token immediately", err, time.Since(start))
		}
		if _, err := c.get(t.Context(), "hangs", hang); !errors.Is(err, context.DeadlineExceeded) || requests.Load() != 1 {
			t.Errorf("got %v after %d requests, want one shared request that times out", err, requests.Load())
		}
		NewWithT(t).Expect(time.Since(start)).To(Equal(tokenTimeout), "duration")
	})
}

func TestTokenCache_SharesConcurrentRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTokenCache(t, 10, time.Hour)
		var requests atomic.Int32
		for range 50 {
			go func() {
				got, err := c.get(t.Context(), "key", func(context.Context) (*auth.ArtifactRegistryCredentials, error) {
					requests.Add(1)
					time.Sleep(time.Second)
					return newToken("user", time.Hour), nil
				})
				if err != nil || got.Username != "user" {
					t.Errorf("got %q, %v", got.Username, err)
				}
			}()
		}
		synctest.Wait()
		time.Sleep(2 * time.Second)
		NewWithT(t).Expect(requests.Load()).To(BeEquivalentTo(1), "requests")
	})
}

func TestTokenCache_DoesNotCacheErrors(t *testing.T) {
	c, failing := newTokenCache(t, 10, time.Hour), true
	fetch := func(context.Context) (*auth.ArtifactRegistryCredentials, error) {
		if failing {
			panic(canary)
		}
		return newToken("user", time.Hour), nil
	}
	var panicked *cloudPanicError
	if _, err := c.get(t.Context(), "key", fetch); !errors.As(err, &panicked) || panicked.kind != "string" {
		t.Errorf("got %v, want the panic as an error that doesn't quote it", err)
	}
	failing = false
	NewWithT(t).Expect(c.get(t.Context(), "key", fetch)).To(HaveField("Username", "user"))
}
