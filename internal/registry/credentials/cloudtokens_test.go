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

// tokenOf returns credentials that are good for some time.
func tokenOf(username string, d time.Duration) *auth.ArtifactRegistryCredentials {
	return &auth.ArtifactRegistryCredentials{
		Authenticator: authn.FromConfig(authn.AuthConfig{Username: username}),
		ExpiresAt:     time.Now().Add(d),
	}
}

// newTokens returns a cache as main makes it.
func newTokens(t *testing.T, size int, maxDuration time.Duration) *TokenCache {
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
		wantKept    bool
	}{
		"Fresh":      {reason: "good for long", size: 10, maxDuration: hour, lifetime: hour, wait: 47 * time.Minute, wantKept: true},
		"FourFifths": {reason: "what is about to end is renewed before it does", size: 10, maxDuration: hour, lifetime: hour, wait: 48 * time.Minute},
		"Maximum":    {reason: "tokens of many hours are renewed too", size: 10, maxDuration: hour, lifetime: 12 * hour, wait: hour},
		"Flag":       {reason: "the flag bounds it further", size: 10, maxDuration: time.Minute, lifetime: hour, wait: time.Minute},
		"TooLong":    {reason: "the flag can't go beyond what the library allows", size: 10, maxDuration: 24 * hour, lifetime: 24 * hour, wait: cache.TokenMaxDuration},
		"Ended":      {reason: "not good for a moment", size: 10, maxDuration: hour, lifetime: -time.Minute},
		"NoCache":    {reason: "the flag turns it off", size: 0, maxDuration: hour, lifetime: hour},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				c, fetched := newTokens(t, tc.size, tc.maxDuration), 0
				get := func() {
					got, err := c.get(t.Context(), "key", func(context.Context) (*auth.ArtifactRegistryCredentials, error) {
						fetched++
						return tokenOf("user", tc.lifetime), nil
					})
					g.Expect(err).NotTo(HaveOccurred(), tc.reason)
					g.Expect(got.Username).To(Equal("user"), tc.reason)
				}
				get()
				time.Sleep(tc.wait)
				get()
				g.Expect(fetched == 1).To(Equal(tc.wantKept), "%s: fetched %d times", tc.reason, fetched)
			})
		})
	}
}

func TestTokenCache_SeparatesKeys(t *testing.T) {
	g := NewWithT(t)
	c := newTokens(t, 10, time.Hour)
	for _, key := range []string{"a", "b", "a", "b"} {
		g.Expect(c.get(t.Context(), key, func(context.Context) (*auth.ArtifactRegistryCredentials, error) { return tokenOf(key, time.Hour), nil })).To(HaveField("Username", Equal(key)))
	}
}

// TestTokenCache_DoesNotBlockOnHangingCloud tests that neither others wait for a
// cloud that hangs, nor those who ask it for longer than they want to.
func TestTokenCache_DoesNotBlockOnHangingCloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTokens(t, 10, time.Hour)
		var asked atomic.Int32
		hang := func(ctx context.Context) (*auth.ArtifactRegistryCredentials, error) {
			asked.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		begin := time.Now()
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.get(impatient, "hangs", hang); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		if _, err := c.get(t.Context(), "other", func(context.Context) (*auth.ArtifactRegistryCredentials, error) {
			return tokenOf("user", time.Hour), nil
		}); err != nil || time.Since(begin) != time.Second {
			t.Errorf("got %v after %v, want the other cloud's answer at once", err, time.Since(begin))
		}
		if _, err := c.get(t.Context(), "hangs", hang); !errors.Is(err, context.DeadlineExceeded) || asked.Load() != 1 {
			t.Errorf("got %v of %d requests, want one that ends by itself", err, asked.Load())
		}
		NewWithT(t).Expect(time.Since(begin)).To(Equal(tokenTimeout), "the time that it took")
	})
}

func TestTokenCache_SharesConcurrentRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTokens(t, 10, time.Hour)
		var asked atomic.Int32
		for range 50 {
			go func() {
				got, err := c.get(t.Context(), "key", func(context.Context) (*auth.ArtifactRegistryCredentials, error) {
					asked.Add(1)
					time.Sleep(time.Second)
					return tokenOf("user", time.Hour), nil
				})
				if err != nil || got.Username != "user" {
					t.Errorf("got %q, %v", got.Username, err)
				}
			}()
		}
		synctest.Wait()
		time.Sleep(2 * time.Second)
		NewWithT(t).Expect(asked.Load()).To(BeEquivalentTo(1), "who was asked")
	})
}

func TestTokenCache_DoesNotCacheErrors(t *testing.T) {
	c, failing := newTokens(t, 10, time.Hour), true
	fetch := func(context.Context) (*auth.ArtifactRegistryCredentials, error) {
		if failing {
			panic(canary)
		}
		return tokenOf("user", time.Hour), nil
	}
	var panicked *cloudPanicError
	if _, err := c.get(t.Context(), "key", fetch); !errors.As(err, &panicked) || panicked.kind != "string" {
		t.Errorf("got %v, want the panic as an error that does not quote it", err)
	}
	failing = false
	NewWithT(t).Expect(c.get(t.Context(), "key", fetch)).To(HaveField("Username", "user"))
}
