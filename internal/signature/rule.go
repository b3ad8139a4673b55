// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"fmt"
	"strings"
)

// Rule is how images must be signed. Exactly one of its fields is set.
type Rule struct {
	Keys       *Keys
	Identities *Identities
	Notation   *Notation
}

// Keys demands a signature of cosign by one of some public keys.
type Keys struct {
	// PEM are the public keys by the names that messages call them by.
	PEM map[string][]byte
}

// Identities demands a keyless signature of cosign by one of some identities.
type Identities struct {
	// AnyOf are the identities.
	AnyOf []Identity
	// TrustedRoot is the content of a trusted_root.json. Nil is Sigstore's
	// public one.
	TrustedRoot []byte
}

// Identity is an entry of spec.verify.matchOIDCIdentity. Both are regular
// expressions, which match where they match a part: ^ and $ anchor them.
type Identity struct{ Issuer, Subject string }

// Notation demands a signature of notation that a trust policy trusts.
type Notation struct {
	// TrustPolicy is the content of a trustpolicy.json.
	TrustPolicy []byte
	// Certificates are those of the trust stores, in PEM or DER, by the names
	// that messages call them by.
	Certificates map[string][]byte
}

// What the keys of Secrets are called.
const (
	publicKeySuffix = ".pub"
	trustedRootKey  = "trusted_root.json"
	trustPolicyKey  = "trustpolicy.json"
)

// certificateSuffixes end the keys of certificates in Secrets.
var certificateSuffixes = []string{".crt", ".pem"}

// KeysFrom returns the rule for the public keys of a Secret.
func KeysFrom(data map[string][]byte) Rule {
	return Rule{Keys: &Keys{PEM: withSuffix(data, publicKeySuffix)}}
}

// IdentitiesFrom returns the rule for identities of the Sigstore whose trusted
// root a Secret holds. It fails with an *InvalidError where it holds none.
func IdentitiesFrom(anyOf []Identity, data map[string][]byte) (Rule, error) {
	root, found := data[trustedRootKey]
	if !found {
		return Rule{}, invalidf("the Secret of the trusted root has no key %s: add it", trustedRootKey)
	}
	return Rule{Identities: &Identities{AnyOf: anyOf, TrustedRoot: root}}, nil
}

// PublicIdentities returns the rule for identities of the public Sigstore.
func PublicIdentities(anyOf []Identity) Rule { return Rule{Identities: &Identities{AnyOf: anyOf}} }

// NotationFrom returns the rule for the trust policy and the certificates of a
// Secret. It fails with an *InvalidError where it holds no trust policy.
func NotationFrom(data map[string][]byte) (Rule, error) {
	policy, found := data[trustPolicyKey]
	if !found {
		return Rule{}, invalidf("the Secret of the trust policy has no key %s: add it", trustPolicyKey)
	}
	return Rule{Notation: &Notation{TrustPolicy: policy, Certificates: withSuffix(data, certificateSuffixes...)}}, nil
}

// withSuffix returns the entries whose key ends with one of some suffixes.
func withSuffix(data map[string][]byte, suffixes ...string) map[string][]byte {
	found := map[string][]byte{}
	for key, value := range data {
		for _, suffix := range suffixes {
			if strings.HasSuffix(key, suffix) {
				found[key] = value
			}
		}
	}
	return found
}

// method parses the rule.
func (r Rule) method(public *PublicRoot) (method, error) {
	switch {
	case r.Keys != nil && r.Identities == nil && r.Notation == nil:
		return newKeyed(r.Keys)
	case r.Identities != nil && r.Keys == nil && r.Notation == nil:
		return newKeyless(r.Identities, public)
	case r.Notation != nil && r.Keys == nil && r.Identities == nil:
		return newNotation(r.Notation)
	default:
		return nil, invalidf("exactly one of public keys, identities and a trust policy must be given")
	}
}

// version of what is checked. A change that judges the same image differently
// needs another one, so that no older verdict is taken for a newer one.
const version = "1"

// fingerprint hashes the rule.
func (r Rule) fingerprint() string {
	switch {
	case r.Keys != nil:
		return fingerprint(append([]string{version, "keys"}, sortedFields(r.Keys.PEM)...)...)
	case r.Identities != nil:
		fields := []string{version, "identities", fmt.Sprint(r.Identities.TrustedRoot == nil), string(r.Identities.TrustedRoot)}
		for _, identity := range r.Identities.AnyOf {
			fields = append(fields, identity.Issuer, identity.Subject)
		}
		return fingerprint(fields...)
	case r.Notation != nil:
		fields := []string{version, "notation", string(r.Notation.TrustPolicy)}
		return fingerprint(append(fields, sortedFields(r.Notation.Certificates)...)...)
	default:
		return ""
	}
}
