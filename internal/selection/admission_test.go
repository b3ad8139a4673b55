// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// specRule is the validation rule of the API server for ranges.
type specRule struct {
	prefixes []string // prefixes that the rule rejects
	pattern  *regexp.Regexp
}

var (
	yamlRule = regexp.MustCompile(`rule: '((?:[^']|'')*)'`)
	// rangeRule matches the rule in the CRD. Changes of the rule require a change of accepts.
	rangeRule = regexp.MustCompile(`^!self\.startsWith\('(.)'\) && !self\.startsWith\('(.)'\) && self\.matches\(r'([^']*)'\)$`)
)

// admissionRules returns the rules of the CRD for ranges, one per API version.
func admissionRules(tb testing.TB) []specRule {
	tb.Helper()
	g := NewWithT(tb)
	crd, err := os.ReadFile("../../config/crd/bases/image.toolkit.fluxcd.io_imagepolicies.yaml")
	g.Expect(err).NotTo(HaveOccurred())
	var rules []specRule
	for _, quoted := range yamlRule.FindAllSubmatch(crd, -1) {
		folded := strings.Join(strings.Fields(string(quoted[1])), " ")
		if m := rangeRule.FindStringSubmatch(strings.ReplaceAll(folded, "''", "'")); m != nil {
			rules = append(rules, specRule{prefixes: m[1:3], pattern: regexp.MustCompile(m[3])})
		}
	}
	g.Expect(rules).NotTo(BeEmpty(), "the CRD has no rule for ranges that rangeRule matches")
	return rules
}

// accepts reports whether the API server accepts a range.
func (r specRule) accepts(text string) bool {
	for _, prefix := range r.prefixes {
		if strings.HasPrefix(text, prefix) {
			return false
		}
	}
	return r.pattern.MatchString(text)
}

// strayHyphenRange matches ranges that the CRD rejects but Masterminds/semver accepts: text right
// after a hyphen range, as in "1.2 - 1.4!=1.3", and two hyphen ranges that are separated only by
// spaces, as in "1 - 3 2 - 4".
var strayHyphenRange = regexp.MustCompile(`\s-\s+v?[0-9xX*]([^\s,|]*[=!<>~^v]|[^\s,|]*\s+[^\s,|]+\s+-\s)`)

func checkAdmission(t *testing.T, rules []specRule, text string) {
	t.Helper()
	if _, err := compileRange(text); err != nil || strayHyphenRange.MatchString(text) {
		return
	}
	for _, rule := range rules {
		if !rule.accepts(text) {
			t.Errorf("the CRD rejects the range %q, which Compile accepts", text)
		}
	}
}

var rangePieces = []string{"1", "1.2", "1.2.3", "v1.2", "x", "1.x", "1.*.2", "1.2-rc.1", "1.2.3-0+b.1", "1+b", " - ", "-", " ", ",", " , ", "\t", "||", " || ", "|",
	">", ">=", "=>", "<", "<=", "=<", "=", "!=", "~", "~>", "^", "&&", ".", "latest"}

func TestAdmission_AcceptsValidRanges(t *testing.T) {
	rules := admissionRules(t)
	for _, text := range oddRanges {
		checkAdmission(t, rules, text)
	}
	rnd := rand.New(rand.NewPCG(7, 8))
	tags := realTags(t, "node")
	for range 500 {
		checkAdmission(t, rules, randomRange(rnd, tags))
	}
	for range 5000 {
		var text strings.Builder
		for range 1 + rnd.IntN(7) {
			text.WriteString(rangePieces[rnd.IntN(len(rangePieces))])
		}
		checkAdmission(t, rules, text.String())
	}
}

func TestAdmission_RejectsInvalidRanges(t *testing.T) {
	for _, rule := range admissionRules(t) {
		for _, text := range []string{"", "latest", ">>1", "1.2.3.4", "1 ||", "|| 1", "1 | 2", ">=1 && <2", "^", "1.2.", "(1)"} {
			NewWithT(t).Expect(rule.accepts(text)).To(BeFalse(), "the CRD accepts the range %q, which Compile rejects", text)
		}
	}
}

func FuzzAdmission(f *testing.F) {
	rules := admissionRules(f)
	for _, text := range oddRanges {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { checkAdmission(t, rules, text) })
}
