/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

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

// tokenTimeout bounds one request for credentials. Those who wait for them have
// bounds of their own.
const tokenTimeout = time.Minute

// TokenCache keeps the credentials that clouds gave, until four fifths of their
// time are over. It asks for the same credentials once at a time, and for
// different ones without one waiting for the other.
type TokenCache struct {
	kept        *cache.LRU[keptToken] // nil keeps none
	maxDuration time.Duration
	flights     singleflight.Group
	now         func() time.Time
}

// keptToken is credentials that are good until some time.
type keptToken struct {
	credentials authn.AuthConfig
	until       time.Time
}

// NewTokenCache returns a TokenCache for up to maxSize credentials, each kept
// for up to maxDuration. With a maxSize of 0 it keeps none. Its metrics are
// those of fluxcd/pkg/cache.
func NewTokenCache(maxSize int, maxDuration time.Duration, metrics prometheus.Registerer) (*TokenCache, error) {
	c := &TokenCache{maxDuration: min(maxDuration, cache.TokenMaxDuration), now: time.Now}
	if maxSize <= 0 {
		return c, nil
	}
	opts := []cache.Options{cache.WithMetricsPrefix("gotk_token_"), cache.WithMetricsRegisterer(metrics)}
	if metrics == nil {
		opts = nil
	}
	kept, err := cache.NewLRU[keptToken](maxSize, opts...)
	if err != nil {
		return nil, err
	}
	c.kept = kept
	return c, nil
}

// get returns the credentials of a key, and fetches them where it has none. A
// fetch serves all who wait for it, so it does not end with the context of the
// one who came first.
func (c *TokenCache) get(
	ctx context.Context, key string, fetch func(context.Context) (*auth.ArtifactRegistryCredentials, error),
) (authn.AuthConfig, error) {
	if credentials, found := c.lookup(key); found {
		return credentials, nil
	}
	flight := c.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tokenTimeout)
		defer cancel()
		return c.fetch(ctx, key, fetch)
	})
	select {
	case <-ctx.Done():
		return authn.AuthConfig{}, ctx.Err()
	case landed := <-flight:
		credentials, _ := landed.Val.(authn.AuthConfig)
		return credentials, landed.Err
	}
}

// lookup returns the credentials that are kept and still good.
func (c *TokenCache) lookup(key string) (authn.AuthConfig, bool) {
	if c.kept == nil {
		return authn.AuthConfig{}, false
	}
	token, err := c.kept.Get(key)
	if err != nil || !c.now().Before(token.until) {
		return authn.AuthConfig{}, false
	}
	return token.credentials, true
}

// fetch fetches credentials and keeps them.
func (c *TokenCache) fetch(
	ctx context.Context, key string, fetch func(context.Context) (*auth.ArtifactRegistryCredentials, error),
) (authn.AuthConfig, error) {
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
	// As the kubelet does with the tokens of service accounts. Time is wall
	// time, so that a clock that was set anew counts.
	left := min(token.ExpiresAt.Sub(c.now())*8/10, c.maxDuration)
	if c.kept != nil && left > 0 {
		_ = c.kept.Set(key, keptToken{credentials: *config, until: c.now().Add(left).Round(0)}) // an LRU in memory never fails
	}
	return *config, nil
}

// withoutPanic makes an error of a panic. The libraries of the clouds are
// large, and a mistake in one must not end the process.
func withoutPanic(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &cloudPanicError{kind: fmt.Sprintf("%T", r)}
		}
	}()
	return do()
}

// cloudPanicError is a panic in the library of a cloud, without what it said.
type cloudPanicError struct{ kind string }

// Error implements error.
func (e *cloudPanicError) Error() string { return "panic: " + e.kind }
