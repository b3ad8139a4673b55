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

package registry

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/google/go-containerregistry/pkg/authn"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// AuthOptionsGetter finds the identity under which a registry is reached. One
// is made at start, and serves tags and digests alike.
type AuthOptionsGetter interface {
	// AuthOptions returns the identity under which repo's registry is reached.
	// It reads Secrets, so it is asked only when a request will be made. It
	// fails with an *Error.
	AuthOptions(ctx context.Context, repo *v1.ImageRepository) (AuthOptions, error)
}

// AuthOptionsGetterFunc is a function that is an AuthOptionsGetter.
type AuthOptionsGetterFunc func(ctx context.Context, repo *v1.ImageRepository) (AuthOptions, error)

// AuthOptions calls f.
func (f AuthOptionsGetterFunc) AuthOptions(ctx context.Context, repo *v1.ImageRepository) (AuthOptions, error) {
	return f(ctx, repo)
}

// AuthOptions is the identity under which a registry is reached: credentials,
// and the way to it, which is certificates and a proxy. The zero value is
// anonymous, by the default way.
//
// It prints as where it came from, never as what it holds.
type AuthOptions struct {
	credentials authn.Authenticator // nil is anonymous
	identity    string              // of the credentials, "" is anonymous
	host        string              // the only host that may see the credentials
	origin      string              // for messages: whose credentials, or why there are none

	route route
	// certOrigin and proxyOrigin say in messages where certificates and proxy
	// came from, "" where they are the default.
	certOrigin, proxyOrigin string
}

// NewAuthOptions returns the identity of someone who has credentials for the
// registry of img. origin says in messages where they came from, such as
// `Secret "regcred"`. The credentials are sent to that registry only.
func NewAuthOptions(img image.Name, credentials authn.AuthConfig, origin string) AuthOptions {
	host := canonicalHost(img.Host())
	return AuthOptions{
		credentials: authn.FromConfig(credentials),
		identity:    identityOf(host, credentials),
		host:        host,
		origin:      origin,
	}
}

// AnonymousBecause is the anonymous identity with the reason for having no
// credentials, such as `Secret "regcred" has no entry for ghcr.io`.
func AnonymousBecause(reason string) AuthOptions { return AuthOptions{origin: reason} }

// IsAnonymous reports whether no credentials are sent.
func (a AuthOptions) IsAnonymous() bool { return a.credentials == nil }

// Identity returns a hash that is equal for equal identities and differs where
// anything that decides about a connection differs. It is empty for the
// anonymous one by the default way. It is the same only within one process.
func (a AuthOptions) Identity() string {
	if a.route.key == "" {
		return a.identity
	}
	return a.identity + "+" + a.route.key
}

// couldBeIntercepted reports whether whoever chose the way could read what is
// sent by it: a proxy with a certificate of an authority of theirs.
func (a AuthOptions) couldBeIntercepted() bool {
	return a.route.proxy != nil && a.route.tls != nil && a.route.tls.RootCAs != nil
}

// String returns where the identity came from.
func (a AuthOptions) String() string {
	switch {
	case a.origin != "":
		return a.origin
	case a.IsAnonymous():
		return "anonymous"
	default:
		return "credentials"
	}
}

// GoString returns the same as String, so that no verb prints credentials.
func (a AuthOptions) GoString() string { return a.String() }

// authenticator returns the credentials as the registry client wants them.
func (a AuthOptions) authenticator() authn.Authenticator {
	if a.IsAnonymous() {
		return authn.Anonymous
	}
	return a.credentials
}

// identityKey keeps identities from being guessed offline from a weak password,
// should one ever be printed.
var identityKey = []byte(rand.Text())

// identityOf hashes a host and the credentials for it.
func identityOf(host string, c authn.AuthConfig) string {
	return keyedHash(host, c.Username, c.Password, c.Auth, c.IdentityToken, c.RegistryToken)
}

// keyedHash hashes fields that may be secret.
func keyedHash(fields ...string) string {
	mac := hmac.New(sha256.New, identityKey)
	for _, field := range fields {
		// The length keeps the fields apart, whatever they contain.
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field))))
		mac.Write([]byte(field))
	}
	return hex.EncodeToString(mac.Sum(nil))
}
