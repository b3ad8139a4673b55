// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"strings"
	"testing"
)

// scanned is the spec with the required fields only.
const scanned = "image: ghcr.io/stefanprodan/podinfo\ninterval: 5m\n"

func TestImageRepository_IsValidated(t *testing.T) {
	const (
		interval = "spec.interval in body should match"
		timeout  = "spec.timeout in body should match"
	)
	testAdmission(t, "ImageRepository", map[string]admission{
		"least":  {reason: "the other fields have defaults", spec: scanned},
		"secret": {reason: "references", spec: scanned + "secretRef: {name: a}\ncertSecretRef: {name: b}\nproxySecretRef: {name: c}\nserviceAccountName: d"},
		"switches": {reason: "fields of existing Flux installations are accepted", spec: scanned + "suspend: true\ninsecure: true\ntimeout: 30s\n" +
			"accessFrom: {namespaceSelectors: [{matchLabels: {team: a}}]}"},
		"no image":            {reason: "an image is required", spec: `interval: 5m`, rejected: []string{"spec.image: Required value"}},
		"no interval":         {reason: "it has no default", spec: `image: a`, rejected: []string{"spec.interval: Required value"}},
		"long intervals":      {reason: "durations may be compound", spec: "image: a\ninterval: 1h30m15.5s500ms"},
		"interval in days":    {reason: "days are not supported", spec: "image: a\ninterval: 1d", rejected: []string{interval}},
		"interval of digits":  {reason: "a unit is required", spec: "image: a\ninterval: '300'", rejected: []string{interval}},
		"interval of numbers": {reason: "a duration is a string", spec: "image: a\ninterval: 300", rejected: []string{"spec.interval", "must be of type string"}},
		"negative interval":   {reason: "negative durations are invalid", spec: "image: a\ninterval: -5m", rejected: []string{interval}},
		"longest interval":    {reason: "the maximum", spec: "image: a\ninterval: 876000h"},
		"endless interval": {reason: "clients could not decode a list with this object", spec: "image: a\ninterval: 9999999999h",
			rejected: []string{"spec.interval", "interval must be at most 876000h"}},
		"interval of centuries": {reason: "adding jitter would overflow", spec: "image: a\ninterval: 2562047h", rejected: []string{"interval must be at most 876000h"}},
		"endless timeout":       {reason: "clients could not decode a list with this object", spec: scanned + `timeout: 999999999999m`, rejected: []string{"spec.timeout", "timeout must be at most 876000h"}},
		"timeout in hours":      {reason: "Flux does not accept hours either", spec: scanned + `timeout: 1h`, rejected: []string{timeout}},
		"timeout of words":      {reason: "an invalid duration", spec: scanned + `timeout: soon`, rejected: []string{timeout}},
		"provider aws":          {reason: "a provider", spec: scanned + `provider: aws`},
		"provider azure":        {reason: "a provider", spec: scanned + `provider: azure`},
		"provider gcp":          {reason: "a provider", spec: scanned + `provider: gcp`},
		"provider generic":      {reason: "a provider", spec: scanned + `provider: generic`},
		"unknown provider":      {reason: "only four exist", spec: scanned + `provider: amazon`, rejected: []string{"spec.provider", `supported values: "generic", "aws", "azure", "gcp"`}},
		"long account": {reason: "names of ServiceAccounts are limited", spec: scanned + `serviceAccountName: ` + strings.Repeat("a", 254),
			rejected: []string{"spec.serviceAccountName", "may not be more than 253 bytes"}},
		"least latest tags":     {reason: "the minimum", spec: scanned + `latestTags: 1`},
		"most latest tags":      {reason: "the maximum", spec: scanned + `latestTags: 100`},
		"no latest tags":        {reason: "at least one", spec: scanned + `latestTags: 0`, rejected: []string{"spec.latestTags", "should be greater than or equal to 1"}},
		"too many latest tags":  {reason: "the size of the status is limited", spec: scanned + `latestTags: 101`, rejected: []string{"spec.latestTags", "should be less than or equal to 100"}},
		"latest tags as a text": {reason: "a number", spec: scanned + `latestTags: "10"`, rejected: []string{"spec.latestTags", "must be of type integer"}},
		"unknown field":         {reason: "typing errors are reported", spec: scanned + `exclude: [a]`, rejected: []string{`unknown field "spec.exclude"`}},
	})
}

func TestExclusionList_IsValidated(t *testing.T) {
	testAdmission(t, "ImageRepository", map[string]admission{
		"empty":             {reason: "an empty list means the default", spec: scanned + `exclusionList: []`},
		"some":              {reason: "regular expressions", spec: scanned + `exclusionList: ['^.*\.sig$', '^latest$', '^(main|dev)-']`},
		"25":                {reason: "the maximum number", spec: scanned + exclusions(25, "^a$")},
		"26":                {reason: "the length is limited", spec: scanned + exclusions(26, "^a$"), rejected: []string{"spec.exclusionList", "must have at most 25 items"}},
		"25 of the longest": {reason: "the maximum number and length are within the cost limit", spec: scanned + exclusions(25, strings.Repeat("(a|b)*c", 146))},
		"too long":          {reason: "the cost must be limited", spec: scanned + exclusions(1, strings.Repeat("a", 1025)), rejected: []string{"spec.exclusionList[0]", "may not be more than 1024 bytes"}},
		"invalid": {reason: "an invalid regular expression", spec: scanned + `exclusionList: [^a$, '[b', ^c$]`,
			rejected: []string{"spec.exclusionList", "missing closing ]: `[b`", "every item must be a valid regular expression in RE2 syntax"}},
		"a glob": {reason: "a glob is not a regular expression", spec: scanned + `exclusionList: ['*.sig']`,
			rejected: []string{"spec.exclusionList", "missing argument to repetition operator: `*`", "every item must be a valid regular expression in RE2 syntax"}},
		"a string": {reason: "a list is required", spec: scanned + `exclusionList: ^a$`, rejected: []string{"spec.exclusionList", "must be of type array"}},
	})
}

// exclusions returns an exclusion list with n items.
func exclusions(n int, expression string) string {
	var b strings.Builder
	b.WriteString("exclusionList:\n")
	for range n {
		fmt.Fprintf(&b, "- %s\n", expression)
	}
	return b.String()
}
