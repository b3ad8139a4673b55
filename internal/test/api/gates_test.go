// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"strings"
	"testing"
)

const (
	// judged is a policy that may have gates.
	judged = repository + "policy: {numerical: {}}\n"
	// pinned is one that reflects digests, as verify demands.
	pinned = judged + "digestReflectionPolicy: IfNotPresent\n"
)

func TestExclude_IsValidated(t *testing.T) {
	testAdmission(t, "ImagePolicy", map[string]admission{
		"some":  {reason: "tags are held back by name", spec: judged + `exclude: [1.2.3, v2_x.y-z]`},
		"most":  {reason: "as many as may be", spec: judged + "exclude: [" + numbered(256, strings.Repeat("x", 124)+"%04d") + "]"},
		"many":  {reason: "the list is bounded", spec: judged + "exclude: [" + numbered(257, "%d.0.0") + "]", rejected: []string{"spec.exclude", "must have at most 256 items"}},
		"twice": {reason: "it is a set", spec: judged + `exclude: [1.2.3, 1.2.3]`, rejected: []string{"spec.exclude[1]", "Duplicate value"}},
		"regex": {reason: "no tag looks like that", spec: judged + `exclude: ['^1[.]2']`, rejected: []string{"spec.exclude[0]", "whole tags"}},
		"empty": {reason: "no tag is empty", spec: judged + `exclude: [""]`, rejected: []string{"spec.exclude[0]", "whole tags"}},
		"long":  {reason: "no tag is that long", spec: judged + `exclude: [` + strings.Repeat("a", 129) + `]`, rejected: []string{"spec.exclude[0]", "may not be more than 128 bytes"}},
	})
}

func TestPlatforms_AreValidated(t *testing.T) {
	const form = "OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT in lower case"
	testAdmission(t, "ImagePolicy", map[string]admission{
		"some":      {reason: "with and without a variant", spec: judged + `platforms: [linux/amd64, linux/arm64/v8]`},
		"one part":  {reason: "an architecture needs an operating system", spec: judged + `platforms: [amd64]`, rejected: []string{"spec.platforms[0]", form}},
		"four":      {reason: "there is nothing behind a variant", spec: judged + `platforms: [a/b/c/d]`, rejected: []string{"spec.platforms[0]", form}},
		"uppercase": {reason: "platforms are in lower case", spec: judged + `platforms: [Linux/amd64]`, rejected: []string{"spec.platforms[0]", form}},
		"in one":    {reason: "each is an item", spec: judged + `platforms: ['linux/amd64,linux/arm64']`, rejected: []string{"spec.platforms[0]", form}},
		"most":      {reason: "as many and as long as may be", spec: judged + "platforms: [" + numbered(16, "linux/"+strings.Repeat("x", 56)+"%02d") + "]"},
		"many":      {reason: "the list is bounded", spec: judged + "platforms: [" + numbered(17, "linux/a%d") + "]", rejected: []string{"spec.platforms", "must have at most 16 items"}},
	})
}

func TestMinimumAge_IsValidated(t *testing.T) {
	testAdmission(t, "ImagePolicy", map[string]admission{
		"hours":    {reason: "a duration", spec: judged + `minimumAge: 72h`},
		"zero":     {reason: "no age at all is an age", spec: judged + `minimumAge: 0s`},
		"days":     {reason: "durations have no days", spec: judged + `minimumAge: 3d`, rejected: []string{"minimumAge is written in h, m, s and ms, such as '72h'"}},
		"negative": {reason: "nothing is younger than new", spec: judged + `minimumAge: -3h`, rejected: []string{"minimumAge is written in"}},
		"endless":  {reason: "clients could not decode it", spec: judged + `minimumAge: 9999999999h`, rejected: []string{"minimumAge must be at most 876000h"}},
	})
}

func TestVerify_IsValidated(t *testing.T) {
	const (
		someone = `{issuer: "^https://issuer$", subject: "^me$"}`
		either  = "set exactly one of secretRef and matchOIDCIdentity"
		notary  = "notation needs a trust policy and certificates"
	)
	widest := fmt.Sprintf(`{issuer: '%s', subject: '%[1]s'}`, strings.Repeat("(a|b)*c", 73))
	testAdmission(t, "ImagePolicy", map[string]admission{
		"keys":             {reason: "cosign is the default", spec: pinned + `verify: {secretRef: {name: keys}}`},
		"keyless":          {reason: "identities in place of keys", spec: pinned + `verify: {provider: cosign, matchOIDCIdentity: [` + someone + `]}`},
		"own root":         {reason: "a root of one's own", spec: pinned + `verify: {matchOIDCIdentity: [` + someone + `], trustedRootSecretRef: {name: root}}`},
		"notation":         {reason: "the other provider", spec: pinned + `verify: {provider: notation, secretRef: {name: trust}}`},
		"Always":           {reason: "digests are reflected", spec: judged + "digestReflectionPolicy: Always\nverify: {secretRef: {name: keys}}"},
		"many identities":  {reason: "as many and as long as may be are within the cost limit", spec: pinned + "verify: {matchOIDCIdentity: [" + strings.Repeat(widest+",", 15) + widest + "]}"},
		"other provider":   {reason: "there are two", spec: pinned + `verify: {provider: gpg, secretRef: {name: keys}}`, rejected: []string{`supported values: "cosign", "notation"`}},
		"nothing":          {reason: "by whom?", spec: pinned + `verify: {}`, rejected: []string{either}},
		"no identity":      {reason: "anybody would do", spec: pinned + `verify: {matchOIDCIdentity: []}`, rejected: []string{either}},
		"both":             {reason: "which of them?", spec: pinned + `verify: {secretRef: {name: keys}, matchOIDCIdentity: [` + someone + `]}`, rejected: []string{either}},
		"half an identity": {reason: "any subject would do", spec: pinned + `verify: {matchOIDCIdentity: [{issuer: a}]}`, rejected: []string{"subject: Required value"}},
		"empty subject":    {reason: "it matches everybody", spec: pinned + `verify: {matchOIDCIdentity: [{issuer: a, subject: ""}]}`, rejected: []string{"subject", "at least 1 char"}},
		"bad regex":        {reason: "no regular expression", spec: pinned + `verify: {matchOIDCIdentity: [{issuer: a, subject: "("}]}`, rejected: []string{"subject must be a valid regular expression"}},
		"root of keys":     {reason: "keys need no root", spec: pinned + `verify: {secretRef: {name: keys}, trustedRootSecretRef: {name: root}}`, rejected: []string{"set matchOIDCIdentity too, or remove trustedRootSecretRef"}},
		"notation alone":   {reason: "notation needs certificates", spec: pinned + `verify: {provider: notation}`, rejected: []string{notary}},
		"notation keyless": {reason: "notation knows no identities", spec: pinned + `verify: {provider: notation, secretRef: {name: a}, matchOIDCIdentity: [` + someone + `]}`, rejected: []string{notary}},
		"Never": {reason: "a tag without a digest may point at something else by then", spec: judged + `verify: {secretRef: {name: keys}}`,
			rejected: []string{"set digestReflectionPolicy to IfNotPresent or Always, or remove verify"}},
	})
}

func TestNewest_IsValidated(t *testing.T) {
	testAdmission(t, "ImagePolicy", map[string]admission{
		"Created":   {reason: "a time", spec: repository + `policy: {newest: {by: Created}}`},
		"FirstSeen": {reason: "a time", spec: repository + "policy: {newest: {by: FirstSeen}}\nfilterTags: {pattern: ^main-}"},
		"no time":   {reason: "which time?", spec: repository + `policy: {newest: {}}`, rejected: []string{"spec.policy.newest.by: Required value"}},
		"Pushed":    {reason: "registries do not tell", spec: repository + `policy: {newest: {by: Pushed}}`, rejected: []string{`supported values: "Created", "FirstSeen"`}},
		"and semver": {reason: "which one would win is not obvious", spec: repository + `policy: {newest: {by: Created}, semver: {range: "*"}}`,
			rejected: []string{"set exactly one of semver, alphabetical, numerical and newest"}},
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
