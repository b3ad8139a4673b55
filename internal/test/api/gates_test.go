// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"strings"
	"testing"
)

const (
	// gated is the spec of a policy that may have gates.
	gated = repository + "policy: {numerical: {}}\n"
	// pinned is the spec of a policy that reflects digests, as verify requires.
	pinned = gated + "digestReflectionPolicy: IfNotPresent\n"
)

func TestExclude_IsValidated(t *testing.T) {
	testAdmission(t, "ImagePolicy", map[string]admission{
		"some":  {reason: "tags are excluded by name", spec: gated + `exclude: [1.2.3, v2_x.y-z]`},
		"most":  {reason: "the maximum number", spec: gated + "exclude: [" + numbered(256, strings.Repeat("x", 124)+"%04d") + "]"},
		"many":  {reason: "the length is limited", spec: gated + "exclude: [" + numbered(257, "%d.0.0") + "]", rejected: []string{"spec.exclude", "must have at most 256 items"}},
		"twice": {reason: "items are unique", spec: gated + `exclude: [1.2.3, 1.2.3]`, rejected: []string{"spec.exclude[1]", "Duplicate value"}},
		"regex": {reason: "regular expressions are not supported", spec: gated + `exclude: ['^1[.]2']`, rejected: []string{"spec.exclude[0]", "whole tags"}},
		"empty": {reason: "an empty tag is invalid", spec: gated + `exclude: [""]`, rejected: []string{"spec.exclude[0]", "whole tags"}},
		"long":  {reason: "a tag has at most 128 characters", spec: gated + `exclude: [` + strings.Repeat("a", 129) + `]`, rejected: []string{"spec.exclude[0]", "may not be more than 128 bytes"}},
	})
}

func TestPlatforms_AreValidated(t *testing.T) {
	const form = "OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT in lower case"
	testAdmission(t, "ImagePolicy", map[string]admission{
		"some":      {reason: "with and without a variant", spec: gated + `platforms: [linux/amd64, linux/arm64/v8]`},
		"one part":  {reason: "an architecture needs an operating system", spec: gated + `platforms: [amd64]`, rejected: []string{"spec.platforms[0]", form}},
		"four":      {reason: "a variant is the last part", spec: gated + `platforms: [a/b/c/d]`, rejected: []string{"spec.platforms[0]", form}},
		"uppercase": {reason: "upper case is invalid", spec: gated + `platforms: [Linux/amd64]`, rejected: []string{"spec.platforms[0]", form}},
		"in one":    {reason: "one platform per item", spec: gated + `platforms: ['linux/amd64,linux/arm64']`, rejected: []string{"spec.platforms[0]", form}},
		"most":      {reason: "the maximum number and length", spec: gated + "platforms: [" + numbered(16, "linux/"+strings.Repeat("x", 56)+"%02d") + "]"},
		"many":      {reason: "the length is limited", spec: gated + "platforms: [" + numbered(17, "linux/a%d") + "]", rejected: []string{"spec.platforms", "must have at most 16 items"}},
	})
}

func TestMinimumAge_IsValidated(t *testing.T) {
	testAdmission(t, "ImagePolicy", map[string]admission{
		"hours":    {reason: "a duration", spec: gated + `minimumAge: 72h`},
		"zero":     {reason: "zero is allowed", spec: gated + `minimumAge: 0s`},
		"days":     {reason: "durations have no days", spec: gated + `minimumAge: 3d`, rejected: []string{"minimumAge is written in h, m, s and ms, such as '72h'"}},
		"negative": {reason: "an age can't be negative", spec: gated + `minimumAge: -3h`, rejected: []string{"minimumAge is written in"}},
		"endless":  {reason: "clients could not decode it", spec: gated + `minimumAge: 9999999999h`, rejected: []string{"minimumAge must be at most 876000h"}},
	})
}

func TestVerify_IsValidated(t *testing.T) {
	const (
		identity = `{issuer: "^https://issuer$", subject: "^me$"}`
		either   = "set exactly one of secretRef and matchOIDCIdentity"
		notary   = "notation needs a trust policy and certificates"
	)
	widest := fmt.Sprintf(`{issuer: '%s', subject: '%[1]s'}`, strings.Repeat("(a|b)*c", 73))
	testAdmission(t, "ImagePolicy", map[string]admission{
		"keys":             {reason: "cosign is the default", spec: pinned + `verify: {secretRef: {name: keys}}`},
		"keyless":          {reason: "identities in place of keys", spec: pinned + `verify: {provider: cosign, matchOIDCIdentity: [` + identity + `]}`},
		"own root":         {reason: "a custom trusted root", spec: pinned + `verify: {matchOIDCIdentity: [` + identity + `], trustedRootSecretRef: {name: root}}`},
		"notation":         {reason: "the other provider", spec: pinned + `verify: {provider: notation, secretRef: {name: trust}}`},
		"Always":           {reason: "digests are reflected", spec: gated + "digestReflectionPolicy: Always\nverify: {secretRef: {name: keys}}"},
		"many identities":  {reason: "the maximum number and length are within the cost limit", spec: pinned + "verify: {matchOIDCIdentity: [" + strings.Repeat(widest+",", 15) + widest + "]}"},
		"other provider":   {reason: "only two providers exist", spec: pinned + `verify: {provider: gpg, secretRef: {name: keys}}`, rejected: []string{`supported values: "cosign", "notation"`}},
		"nothing":          {reason: "a signer is required", spec: pinned + `verify: {}`, rejected: []string{either}},
		"no identity":      {reason: "an empty list would accept any signer", spec: pinned + `verify: {matchOIDCIdentity: []}`, rejected: []string{either}},
		"both":             {reason: "the choice would be ambiguous", spec: pinned + `verify: {secretRef: {name: keys}, matchOIDCIdentity: [` + identity + `]}`, rejected: []string{either}},
		"half an identity": {reason: "a subject is required", spec: pinned + `verify: {matchOIDCIdentity: [{issuer: a}]}`, rejected: []string{"subject: Required value"}},
		"empty subject":    {reason: "an empty expression matches any subject", spec: pinned + `verify: {matchOIDCIdentity: [{issuer: a, subject: ""}]}`, rejected: []string{"subject", "at least 1 char"}},
		"bad regex":        {reason: "an invalid regular expression", spec: pinned + `verify: {matchOIDCIdentity: [{issuer: a, subject: "("}]}`, rejected: []string{"subject must be a valid regular expression"}},
		"root of keys":     {reason: "keys have no trusted root", spec: pinned + `verify: {secretRef: {name: keys}, trustedRootSecretRef: {name: root}}`, rejected: []string{"set matchOIDCIdentity too, or remove trustedRootSecretRef"}},
		"notation alone":   {reason: "notation needs certificates", spec: pinned + `verify: {provider: notation}`, rejected: []string{notary}},
		"notation keyless": {reason: "notation does not support identities", spec: pinned + `verify: {provider: notation, secretRef: {name: a}, matchOIDCIdentity: [` + identity + `]}`, rejected: []string{notary}},
		"Never": {reason: "a tag without a digest can be moved after the verification", spec: gated + `verify: {secretRef: {name: keys}}`,
			rejected: []string{"set digestReflectionPolicy to IfNotPresent or Always, or remove verify"}},
	})
}

func TestAttestations_AreValidated(t *testing.T) {
	const keys = `secretRef: {name: keys}, `
	longest := fmt.Sprintf(`{predicateType: '%s', cel: '%s'}`, strings.Repeat("t", 512), strings.Repeat("c", 4096))
	of := func(entries string) string { return pinned + "verify: {" + keys + "attestations: [" + entries + "]}" }
	testAdmission(t, "ImagePolicy", map[string]admission{
		"type":       {reason: "an attestation of a type is sufficient", spec: of(`{predicateType: "https://spdx.dev/Document"}`)},
		"expression": {reason: "the API server does not compile it", spec: of(`{predicateType: a, cel: "predicate.x == 1"}`)},
		"signature":  {reason: "a signature besides the attestations", spec: of(`{predicateType: "https://sigstore.dev/cosign/sign/v1"}`)},
		"keyless":    {reason: "identities in place of keys", spec: pinned + `verify: {matchOIDCIdentity: [{issuer: a, subject: b}], attestations: [{predicateType: a}]}`},
		"most":       {reason: "the maximum number and length are within the cost limit", spec: of(strings.Repeat(longest+",", 7) + longest)},
		"many":       {reason: "the length is limited", spec: of(strings.Repeat("{predicateType: a},", 9)), rejected: []string{"spec.verify.attestations", "must have at most 8 items"}},
		"no type":    {reason: "the type is required", spec: of(`{cel: "true"}`), rejected: []string{"spec.verify.attestations[0].predicateType: Required value"}},
		"empty type": {reason: "no statement has an empty type", spec: of(`{predicateType: ""}`), rejected: []string{"predicateType", "at least 1 char"}},
		"long type":  {reason: "the length is limited", spec: of(`{predicateType: "` + strings.Repeat("t", 513) + `"}`), rejected: []string{"predicateType", "may not be more than 512"}},
		"long cel":   {reason: "the length is limited", spec: of(`{predicateType: a, cel: "` + strings.Repeat("c", 4097) + `"}`), rejected: []string{"cel", "may not be more than 4096"}},
		"empty cel":  {reason: "an empty expression is not true", spec: of(`{predicateType: a, cel: ""}`), rejected: []string{"cel", "at least 1 char"}},
		"signed cel": {reason: "a signature has no predicate", spec: of(`{predicateType: "https://sigstore.dev/cosign/sign/v1", cel: "true"}`), rejected: []string{"remove cel, or set the predicateType of an attestation"}},
		"notation":   {reason: "notation has no attestations", spec: pinned + `verify: {provider: notation, ` + keys + `attestations: [{predicateType: a}]}`, rejected: []string{"set provider to cosign, or remove attestations"}},
		"no signer":  {reason: "a signer is required", spec: pinned + `verify: {attestations: [{predicateType: a}]}`, rejected: []string{"set exactly one of secretRef and matchOIDCIdentity"}},
	})
}

func TestNewest_IsValidated(t *testing.T) {
	testAdmission(t, "ImagePolicy", map[string]admission{
		"Created":   {reason: "a time", spec: repository + `policy: {newest: {by: Created}}`},
		"FirstSeen": {reason: "a time", spec: repository + "policy: {newest: {by: FirstSeen}}\nfilterTags: {pattern: ^main-}"},
		"no time":   {reason: "the time is required", spec: repository + `policy: {newest: {}}`, rejected: []string{"spec.policy.newest.by: Required value"}},
		"Pushed":    {reason: "registries do not return this time", spec: repository + `policy: {newest: {by: Pushed}}`, rejected: []string{`supported values: "Created", "FirstSeen"`}},
		"and semver": {reason: "the choice would be ambiguous", spec: repository + `policy: {newest: {by: Created}, semver: {range: "*"}}`,
			rejected: []string{"set exactly one of semver, alphabetical, numerical, natural and newest"}},
		"extract": {reason: "it would have no effect", spec: repository + "policy: {newest: {by: Created}}\nfilterTags: {pattern: '^(.*)$', extract: $1}",
			rejected: []string{"remove filterTags.extract"}},
	})
}

// numbered returns a list of n items in YAML.
func numbered(n int, format string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf("'"+format+"'", i)
	}
	return strings.Join(items, ", ")
}
