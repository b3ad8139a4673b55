// SPDX-License-Identifier: Apache-2.0

// Package credentials resolves the credentials, the certificates and the proxy for the
// registry of an ImageRepository, from Secrets, pull secrets and clouds.
package credentials

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// Options is the identity with which a registry is accessed: credentials, and the
// transport configuration. The zero value is anonymous, with the default transport.
//
// It prints as its origin, never as its credentials.
type Options struct {
	credentials authn.Authenticator // nil for anonymous
	identity    string              // hash of the credentials, "" for anonymous
	host        string              // the only host to which the credentials are sent
	origin      string              // for messages: the source of the credentials, or the reason why there are none

	// Transport has the certificates and the proxy.
	Transport transport.Config
	// CertOrigin and ProxyOrigin name the sources of the certificates and the proxy in
	// messages. They are empty for the defaults.
	CertOrigin, ProxyOrigin string
}

// New returns an identity with credentials, which are sent to the registry of img
// only. origin names their source in messages, such as `Secret "regcred"`.
func New(img image.Name, credentials authn.AuthConfig, origin string) Options {
	host := transport.CanonicalHost(img.Host())
	return Options{
		credentials: authn.FromConfig(credentials),
		identity: keyedHash(host, credentials.Username, credentials.Password, credentials.Auth,
			credentials.IdentityToken, credentials.RegistryToken),
		host:   host,
		origin: origin,
	}
}

// AnonymousBecause returns the anonymous identity with the reason for it, such as
// `Secret "regcred" has no entry for ghcr.io`.
func AnonymousBecause(reason string) Options { return Options{origin: reason} }

// IsAnonymous reports whether there are no credentials.
func (o Options) IsAnonymous() bool { return o.credentials == nil }

// IsFor reports whether the credentials, if any, are for the registry of img.
func (o Options) IsFor(img image.Name) bool {
	return o.host == "" || o.host == transport.CanonicalHost(img.Host())
}

// Identity returns a hash of the credentials and the transport configuration. It is
// empty for the zero value, and differs between processes.
func (o Options) Identity() string {
	if o.Transport.Key == "" {
		return o.identity
	}
	return o.identity + "+" + o.Transport.Key
}

// Authenticator returns the credentials as an authn.Authenticator.
func (o Options) Authenticator() authn.Authenticator {
	if o.IsAnonymous() {
		return authn.Anonymous
	}
	return o.credentials
}

// Origin returns the source of the credentials, or the reason why there are none. It
// is empty if none are configured.
func (o Options) Origin() string { return o.origin }

// String returns the origin.
func (o Options) String() string {
	switch {
	case o.origin != "":
		return o.origin
	case o.IsAnonymous():
		return "anonymous"
	default:
		return "credentials"
	}
}

// GoString returns the same as String, so that %#v does not print credentials.
func (o Options) GoString() string { return o.String() }

// hashKey prevents offline attacks on weak passwords if an identity is disclosed.
var hashKey = []byte(rand.Text())

// keyedHash returns the HMAC of fields that may be secret.
func keyedHash(fields ...string) string {
	mac := hmac.New(sha256.New, hashKey)
	for _, field := range fields {
		// The length makes the concatenation of the fields unambiguous.
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field))))
		mac.Write([]byte(field))
	}
	return hex.EncodeToString(mac.Sum(nil))
}
