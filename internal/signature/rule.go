// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Rule describes how images must be signed, or what must be attested about them:
// spec.verify of a policy, with the entries of its Secret that apply to it.
type Rule struct {
	scheme       schemeName
	identities   []v1.OIDCIdentityMatch
	files        map[string][]byte
	attestations []v1.AttestationRequirement
}

// schemeName names a scheme of signing images.
type schemeName string

const (
	byKey      schemeName = "keys"
	byIdentity schemeName = "identities"
	byNotation schemeName = "notation"
)

// The keys of the Secret's data.
const (
	publicKeySuffix = ".pub"
	trustedRootKey  = "trusted_root.json"
	trustPolicyKey  = "trustpolicy.json"
)

// certificateSuffixes are the suffixes of the keys of certificates in Secrets.
var certificateSuffixes = []string{".crt", ".pem"}

// RuleOf returns the rule of a policy, with the data of its Secret. It fails with an
// *InvalidError if the Secret lacks a key.
func RuleOf(verify *v1.ImageVerification, data map[string][]byte) (Rule, error) {
	if verify.Provider == v1.VerifyNotation && len(verify.Attestations) > 0 {
		return Rule{}, invalidSpecf("attestations are verified with cosign's keys or identities: " +
			"set spec.verify.provider to cosign, or remove spec.verify.attestations")
	}
	rule, err := signersOf(verify, data)
	rule.attestations = verify.Attestations
	return rule, err
}

// signersOf returns the rule for signatures by the signers of a policy.
func signersOf(verify *v1.ImageVerification, data map[string][]byte) (Rule, error) {
	_, hasPolicy := data[trustPolicyKey]
	_, hasRoot := data[trustedRootKey]
	switch {
	case verify.Provider == v1.VerifyNotation && !hasPolicy:
		return Rule{}, invalidf("the Secret of the trust policy has no key %s: add it", trustPolicyKey)
	case verify.Provider == v1.VerifyNotation:
		return Rule{scheme: byNotation, files: withSuffix(data, append([]string{trustPolicyKey}, certificateSuffixes...)...)}, nil
	case verify.SecretRef != nil:
		return Rule{scheme: byKey, files: withSuffix(data, publicKeySuffix)}, nil
	case verify.TrustedRootSecretRef == nil:
		return Rule{scheme: byIdentity, identities: verify.MatchOIDCIdentity}, nil
	case !hasRoot:
		return Rule{}, invalidf("the Secret of the trusted root has no key %s: add it", trustedRootKey)
	default:
		return Rule{scheme: byIdentity, identities: verify.MatchOIDCIdentity, files: withSuffix(data, trustedRootKey)}, nil
	}
}

// withSuffix returns the entries whose key has one of the suffixes.
func withSuffix(data map[string][]byte, suffixes ...string) map[string][]byte {
	found := maps.Clone(data)
	maps.DeleteFunc(found, func(key string, _ []byte) bool {
		return !slices.ContainsFunc(suffixes, func(suffix string) bool { return strings.HasSuffix(key, suffix) })
	})
	return found
}

// newScheme parses the rule. It fails with an *InvalidError.
func (r Rule) newScheme(public *PublicRoot) (verifyScheme, error) {
	if r.scheme == byNotation {
		return newNotation(r.files)
	}
	requirements, err := newRequirements(r.attestations)
	if err != nil {
		return nil, err
	}
	signatures, err := r.newCosign(public)
	if err != nil || len(requirements) == 0 {
		return signatures, err
	}
	return &attestations{signatures: signatures, requirements: requirements}, nil
}

// newCosign parses the keys or identities of the rule.
func (r Rule) newCosign(public *PublicRoot) (*cosign, error) {
	if r.scheme == byKey {
		return newKeyed(r.files)
	}
	return newKeyless(r, public)
}

// sortedKeys returns the keys of a map in order.
func sortedKeys(m map[string][]byte) []string { return slices.Sorted(maps.Keys(m)) }

// version is the version of the checks. A change by which the same image could get
// another verdict needs another version, so that older verdicts are not reused.
const version = "1"

// fingerprint returns a hash of the rule. The length before each field makes the
// concatenation of the fields unambiguous.
func (r Rule) fingerprint() string {
	fields := []string{version, string(r.scheme), strconv.Itoa(len(r.identities))}
	for _, identity := range r.identities {
		fields = append(fields, identity.Issuer, identity.Subject)
	}
	for _, name := range sortedKeys(r.files) {
		fields = append(fields, name, string(r.files[name]))
	}
	for _, required := range r.attestations {
		fields = append(fields, "attestation", required.PredicateType, required.CEL)
	}
	hash := sha256.New()
	for _, field := range fields {
		hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field))))
		hash.Write([]byte(field))
	}
	return hex.EncodeToString(hash.Sum(nil))
}
