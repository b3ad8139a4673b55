// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/cache"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"
)

// tokenTimeout bounds a request for credentials. Callers stop waiting when their own
// contexts end.
const tokenTimeout = time.Minute

// TokenCache caches the credentials of clouds for four fifths of their lifetime. Concurrent
// requests for the same credentials are merged. Requests for different credentials do not
// wait for each other.
type TokenCache struct {
	entries     *cache.LRU[cachedToken] // nil caches none
	maxDuration time.Duration
	group       singleflight.Group
	now         func() time.Time
}

// cachedToken has credentials, and the time until which they are used.
type cachedToken struct {
	credentials authn.AuthConfig
	until       time.Time
}

// fetchFunc requests credentials from a cloud.
type fetchFunc func(context.Context) (*auth.ArtifactRegistryCredentials, error)

// NewTokenCache returns a TokenCache for up to maxSize credentials, 0 for none, each
// cached for up to maxDuration. Its metrics are those of fluxcd/pkg/cache.
func NewTokenCache(maxSize int, maxDuration time.Duration, metrics prometheus.Registerer) (*TokenCache, error) {
	c := &TokenCache{maxDuration: min(maxDuration, cache.TokenMaxDuration), now: time.Now}
	if maxSize <= 0 {
		return c, nil
	}
	opts := []cache.Options{cache.WithMetricsPrefix("gotk_token_"), cache.WithMetricsRegisterer(metrics)}
	if metrics == nil {
		opts = nil
	}
	entries, err := cache.NewLRU[cachedToken](maxSize, opts...)
	if err != nil {
		return nil, err
	}
	c.entries = entries
	return c, nil
}

// get returns the cached credentials of a key, or fetches them. Concurrent callers share a
// fetch, so it does not end with the context of the first one.
func (c *TokenCache) get(ctx context.Context, key string, fetch fetchFunc) (authn.AuthConfig, error) {
	if credentials, found := c.lookup(key); found {
		return credentials, nil
	}
	fetched := c.group.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tokenTimeout)
		defer cancel()
		return c.fetch(ctx, key, fetch)
	})
	select {
	case <-ctx.Done():
		return authn.AuthConfig{}, ctx.Err()
	case result := <-fetched:
		credentials, _ := result.Val.(authn.AuthConfig)
		return credentials, result.Err
	}
}

// lookup returns cached credentials, and whether there are any that have not expired.
func (c *TokenCache) lookup(key string) (authn.AuthConfig, bool) {
	if c.entries == nil {
		return authn.AuthConfig{}, false
	}
	token, err := c.entries.Get(key)
	if err != nil || !c.now().Before(token.until) {
		return authn.AuthConfig{}, false
	}
	return token.credentials, true
}

// fetch fetches credentials and caches them.
func (c *TokenCache) fetch(ctx context.Context, key string, fetch fetchFunc) (authn.AuthConfig, error) {
	var (
		token  *auth.ArtifactRegistryCredentials
		config *authn.AuthConfig
	)
	err := withoutPanic(func() error {
		var err error
		if token, err = fetch(ctx); err != nil {
			return err
		}
		config, err = token.Authorization()
		return err
	})
	if err != nil {
		return authn.AuthConfig{}, err
	}
	// The kubelet refreshes service account tokens after the same fraction of their
	// lifetime. Round strips the monotonic clock, so that changes of the wall clock count.
	left := min(token.ExpiresAt.Sub(c.now())*8/10, c.maxDuration)
	if c.entries != nil && left > 0 {
		_ = c.entries.Set(key, cachedToken{credentials: *config, until: c.now().Add(left).Round(0)}) // never fails
	}
	return *config, nil
}

// withoutPanic converts a panic to an error, so that a bug in a cloud's library does not end
// the process.
func withoutPanic(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &cloudPanicError{kind: fmt.Sprintf("%T", r)}
		}
	}()
	return do()
}

// cloudPanicError is a panic in a cloud's library. It has only the type of the panic's
// value, which may be secret.
type cloudPanicError struct{ kind string }

// Error implements error.
func (e *cloudPanicError) Error() string { return "panic: " + e.kind }
