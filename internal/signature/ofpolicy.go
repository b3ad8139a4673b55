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
