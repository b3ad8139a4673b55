// SPDX-License-Identifier: Apache-2.0

package signature

import (
	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// RuleOf returns the rule of a policy, with what is in its Secret.
func RuleOf(verify *v1.ImageVerification, data map[string][]byte) (Rule, error) {
	if verify.Provider == v1.VerifyNotation {
		return NotationFrom(data)
	}
	if verify.SecretRef != nil {
		return KeysFrom(data), nil
	}
	var anyOf []Identity
	for _, match := range verify.MatchOIDCIdentity {
		anyOf = append(anyOf, Identity{Issuer: match.Issuer, Subject: match.Subject})
	}
	if verify.TrustedRootSecretRef == nil {
		return PublicIdentities(anyOf), nil
	}
	return IdentitiesFrom(anyOf, data)
}
