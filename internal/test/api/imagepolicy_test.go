// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strconv"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// repository is the part of the spec that the cases share.
const repository = "imageRepositoryRef: {name: podinfo}\n"

func TestImagePolicy_IsValidated(t *testing.T) {
	testAdmission(t, "ImagePolicy", map[string]admission{
		"semver":        {reason: "one policy", spec: repository + `policy: {semver: {range: ^1.0.0}}`},
		"alphabetical":  {reason: "the order has a default", spec: repository + `policy: {alphabetical: {}}`},
		"numerical":     {reason: "one policy", spec: repository + `policy: {numerical: {order: desc}}`},
		"natural":       {reason: "one policy, with filter and extract", spec: repository + "policy: {natural: {order: desc}}\nfilterTags: {pattern: '^a-(.*)', extract: $1}"},
		"natural order": {reason: "only two orders exist", spec: repository + `policy: {natural: {order: newest}}`, rejected: []string{"spec.policy.natural.order", `supported values: "asc", "desc"`}},
		"natural range": {reason: "there are no ranges", spec: repository + `policy: {natural: {range: 1.x}}`, rejected: []string{`unknown field "spec.policy.natural.range"`}},
		"natural and newest": {reason: "the choice would be ambiguous", spec: repository + `policy: {natural: {}, newest: {by: Created}}`,
			rejected: []string{"spec.policy", "set exactly one of semver, alphabetical, numerical, natural and newest"}},
		"other namespace":  {reason: "a repository may be in another namespace", spec: `{imageRepositoryRef: {name: a, namespace: b}, policy: {numerical: {}}}`},
		"no repository":    {reason: "a repository is required", spec: `policy: {numerical: {}}`, rejected: []string{"spec.imageRepositoryRef: Required value"}},
		"nameless":         {reason: "a reference needs a name", spec: `{imageRepositoryRef: {namespace: b}, policy: {numerical: {}}}`, rejected: []string{"spec.imageRepositoryRef.name: Required value"}},
		"policy not given": {reason: "a policy is required", spec: repository, rejected: []string{"spec.policy: Required value"}},
		"no policy chosen": {reason: "one policy is required", spec: repository + `policy: {}`, rejected: []string{"spec.policy", "set exactly one of semver, alphabetical, numerical, natural and newest"}},
		"two policies": {reason: "the choice would be ambiguous", spec: repository + `policy: {semver: {range: "*"}, numerical: {}}`,
			rejected: []string{"spec.policy", "set exactly one of semver, alphabetical, numerical, natural and newest"}},
		"three policies": {reason: "the choice would be ambiguous", spec: repository + `policy: {semver: {range: "*"}, alphabetical: {}, numerical: {}}`,
			rejected: []string{"spec.policy", "set exactly one of semver, alphabetical, numerical, natural and newest"}},
		"unknown policy": {reason: "typing errors are reported", spec: repository + `policy: {semvar: {range: "*"}}`, rejected: []string{`unknown field "spec.policy.semvar"`}},
		"no range":       {reason: "a range is required", spec: repository + `policy: {semver: {}}`, rejected: []string{"spec.policy.semver.range: Required value"}},
		"alphabetical order": {reason: "only two orders exist", spec: repository + `policy: {alphabetical: {order: ascending}}`,
			rejected: []string{"spec.policy.alphabetical.order", `supported values: "asc", "desc"`}},
		"numerical order": {reason: "only two orders exist", spec: repository + `policy: {numerical: {order: up}}`,
			rejected: []string{"spec.policy.numerical.order", `supported values: "asc", "desc"`}},
	})
}

func TestFilterTags_IsValidated(t *testing.T) {
	const policy = repository + "policy: {numerical: {}}\n"
	testAdmission(t, "ImagePolicy", map[string]admission{
		"empty":         {reason: "all tags are considered", spec: policy + `filterTags: {}`},
		"pattern":       {reason: "a filter without extract compares whole tags", spec: policy + `filterTags: {pattern: '^main-[a-f0-9]+-(?P<ts>[0-9]+)'}`},
		"extract":       {reason: "extract refers to a group of pattern", spec: policy + `filterTags: {pattern: '^(?P<ts>[0-9]+)$', extract: $ts}`},
		"empty strings": {reason: "an empty string is the same as none", spec: policy + `filterTags: {pattern: '', extract: ''}`},
		"longest":       {reason: "the longest pattern is within the cost limit", spec: policy + `filterTags: {pattern: '` + strings.Repeat("(a|b)*c", 146) + `'}`},
		"too long": {reason: "the cost must be limited", spec: policy + `filterTags: {pattern: '` + strings.Repeat("a", 1025) + `'}`,
			rejected: []string{"spec.filterTags.pattern", "may not be more than 1024 bytes"}},
		"open group": {reason: "an invalid regular expression", spec: policy + `filterTags: {pattern: '^(v1'}`,
			rejected: []string{"spec.filterTags.pattern", "missing closing ): `^(v1`", "pattern must be a valid regular expression in RE2 syntax"}},
		"lookahead": {reason: "RE2 does not support lookahead", spec: policy + `filterTags: {pattern: '^(?!rc).*'}`,
			rejected: []string{"spec.filterTags.pattern", "invalid or unsupported Perl syntax: `(?!`", "pattern must be a valid regular expression in RE2 syntax"}},
		"extract without pattern": {reason: "extract refers to pattern", spec: policy + `filterTags: {extract: $1}`, rejected: []string{"spec.filterTags", "set pattern too, or remove extract"}},
		"extract with an empty pattern": {reason: "extract refers to pattern", spec: policy + `filterTags: {pattern: '', extract: $1}`,
			rejected: []string{"spec.filterTags", "set pattern too, or remove extract"}},
	})
}

func TestDigestReflection_IsValidated(t *testing.T) {
	const (
		policy    = repository + "policy: {numerical: {}}\n"
		useless   = "interval is only used if digestReflectionPolicy is Always: remove interval, or set digestReflectionPolicy to Always"
		malformed = "spec.interval in body should match"
	)
	testAdmission(t, "ImagePolicy", map[string]admission{
		"Never":           {reason: "a mode", spec: policy + `digestReflectionPolicy: Never`},
		"IfNotPresent":    {reason: "a mode", spec: policy + `digestReflectionPolicy: IfNotPresent`},
		"Always":          {reason: "its interval has a default", spec: policy + `digestReflectionPolicy: Always`},
		"Always interval": {reason: "the interval is used", spec: policy + "digestReflectionPolicy: Always\ninterval: 1h30m"},
		"unknown": {reason: "only three modes exist", spec: policy + `digestReflectionPolicy: Sometimes`,
			rejected: []string{"spec.digestReflectionPolicy", `supported values: "Always", "IfNotPresent", "Never"`}},
		"lower case": {reason: "modes are case-sensitive", spec: policy + `digestReflectionPolicy: always`,
			rejected: []string{"spec.digestReflectionPolicy", `supported values: "Always", "IfNotPresent", "Never"`}},
		"interval alone":        {reason: "it would have no effect", spec: policy + `interval: 10m`, rejected: []string{useless}},
		"Never interval":        {reason: "it would have no effect", spec: policy + "digestReflectionPolicy: Never\ninterval: 10m", rejected: []string{useless}},
		"IfNotPresent interval": {reason: "it would have no effect", spec: policy + "digestReflectionPolicy: IfNotPresent\ninterval: 10m", rejected: []string{useless}},
		"interval with no unit": {reason: "an invalid duration", spec: policy + "digestReflectionPolicy: Always\ninterval: '10'", rejected: []string{malformed}},
		"interval in days":      {reason: "days are not supported", spec: policy + "digestReflectionPolicy: Always\ninterval: 1d", rejected: []string{malformed}},
		"negative interval":     {reason: "negative durations are invalid", spec: policy + "digestReflectionPolicy: Always\ninterval: -5m", rejected: []string{malformed}},
		"endless interval": {reason: "clients could not decode a list with this object",
			spec: policy + "digestReflectionPolicy: Always\ninterval: 9999999999h", rejected: []string{"spec.interval", "interval must be at most 876000h"}},
		"interval that is empty": {reason: "an invalid duration", spec: policy + "digestReflectionPolicy: Always\ninterval: ''", rejected: []string{malformed}},
	})
}

// TestSemVerRange_AdmissionMatchesLibrary checks that the API server admits exactly the ranges that
// the semver library can parse.
func TestSemVerRange_AdmissionMatchesLibrary(t *testing.T) {
	ranges := []string{
		"*", "x", "1", "1.2", "1.2.3", "v1.2.3", "1.x", "1.2.x", "1.2.X", "1.*", "=1.2.3", "!=1.2.3", ">1", "<1", ">=1", "=>1", "<=1", "=<1",
		"~1.2", "~>1.2", "^1.2.3", "^0.0.3", "^1.x", "> 1.2", " ^1.2.3 ", "^1.2.3-0", ">=1.2.3-alpha.1", "1.2.3+build.5", ">=1.0.0-rc1+5",
		">=1.0.0 <2.0.0", ">=1.0.0, <2.0.0", ">=1.0.0,<2.0.0", ">=1.0.0 , <2.0.0", ">=1 <2 !=1.5.0", "1.2 - 1.4", "1.2.3 - 1.4.5-rc.1", "1.2 - 1.4 || 2.x",
		"^1 || ^2", "^1||^2", "^1.0.0 || >=3.0.0 <4.0.0", "1.0.0 - 2.0.0 >1.5.0", ">=1.0.0 1.2 - 1.4", "2024.1", "020.1", "1-0", "1.2.3\t<2", ">=1.0.0, 1.2 - 1.4", "1.2 - 1.4, !=1.3", "1.2 - 1.4 1.x",

		"", " ", "||", "^1 ||", "|| ^1", "^1 | ^2", "latest", "1.2.3.4", "1..2", ".1", "1.", "^^1", "> =1", ">==1", "==1", "><1", "1.2.3-", "1.2.3+", "1.2.3-a..b",
		"1.2 -1.4 -", "- 1.2", "1.2 - ", ">=1.0.0 AND <2.0.0", ">=1.0.0;<2.0.0", ">=1.0.0 &&  <2", "V1.2.3", "^a.b.c", "1,,2", ",1", "1,", "^1.2.3 foo", "(^1)", "xx", "1x", "x1", "**", "1.2*", ">=1.2 - 1.4", "1 - 2 - 3", "v", "1|2", "^1\\n",
	}
	for _, version := range versions {
		for _, text := range ranges {
			t.Run(version+"/"+strconv.Quote(text), func(t *testing.T) {
				err := createRange(t, version, text)
				_, invalid := semver.NewConstraint(text)
				want := admission{reason: "the library parses it"}
				if invalid != nil {
					want = admission{reason: invalid.Error(), rejected: []string{"spec.policy.semver.range", "range must be a semver range such as '^1.2.0'"}}
				}
				want.check(t, err)
			})
		}
	}
}

func TestSemVerRange_LengthIsBounded(t *testing.T) {
	longest := strings.Repeat("1.2.3||", 512/7) + "1"
	admission{reason: "the longest range is within the cost limit"}.check(t, createRange(t, "v1", longest))
	admission{reason: "the cost must be limited", rejected: []string{"may not be more than 512 bytes"}}.
		check(t, createRange(t, "v1", longest+strings.Repeat(" ", 512)))
}

func createRange(t *testing.T, version, text string) error {
	spec := repository + "policy: {semver: {range: " + strconv.Quote(text) + "}}"
	return server.Create(t.Context(), newObject(t, version, "ImagePolicy", "range", spec), client.DryRunAll)
}
