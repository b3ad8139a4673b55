// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"errors"
	"slices"
	"testing"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// choose returns a policy for fuzzed values.
func choose(kind uint8, text string) v1.ImagePolicyChoice {
	switch kind % 4 {
	case 0:
		return semVer(text)
	case 1:
		return numerical(text)
	case 2:
		return natural(text)
	default:
		return alphabetical(text)
	}
}

// FuzzCompile expects Compile to return a rule or an InvalidError that names a field.
func FuzzCompile(f *testing.F) {
	f.Add(uint8(0), ">=1.0.0 <2.0.0", "", "")
	f.Add(uint8(0), "1.2 - 1.4 || 2.x", `^v?(?P<v>.*)$`, "$v")
	f.Add(uint8(0), "*.1|2", "(", "$1")
	f.Add(uint8(1), "asc", `([0-9]+)`, "${1}x")
	f.Add(uint8(1), "up", "", "$1")
	f.Add(uint8(3), "desc", `^main-(?P<sha>[a-f0-9]+)-(?P<ts>[0-9]+)`, "$ts_$sha")
	f.Add(uint8(2), "asc", "", "")
	f.Add(uint8(3), "", ".", "$$${$")
	f.Fuzz(func(t *testing.T, kind uint8, text, pattern, extract string) {
		rule, err := compileParts(choose(kind, text), filtered(pattern, extract))
		if err == nil {
			if rule.String() == "" {
				t.Error("the rule has no description")
			}
			rule.Explain(oddTags)
			return
		}
		var invalid *InvalidError
		if rule != nil || !errors.As(err, &invalid) || invalid.Field == "" || invalid.Problem == "" {
			t.Errorf("got %v and %v, want an InvalidError with a field and a problem", rule, err)
		}
	})
}

// FuzzEvaluate expects all methods to agree on any tags.
func FuzzEvaluate(f *testing.F) {
	rules := []*Rule{
		compiled(f, semVer("*"), nil),
		compiled(f, semVer(">=1.2.3-0 <3 || ~4.5"), nil),
		compiled(f, semVer(">=0-0"), filtered(`^v?([^+]*)`, "$1")),
		compiled(f, numerical("asc"), nil),
		compiled(f, numerical("desc"), filtered(`([0-9.]+)`, "-$1")),
		compiled(f, natural("asc"), nil),
		compiled(f, natural("desc"), filtered(`^v?(.*)`, "$1")),
		compiled(f, alphabetical("asc"), nil),
		compiled(f, alphabetical("desc"), filtered(`^(.)(.?)`, "$2")),
	}
	for i, tag := range oddTags {
		f.Add(tag, oddTags[(i+1)%len(oddTags)])
	}
	f.Add("1.2.3-alpha.1", "v1.02.3-alpha.beta")
	f.Add("7e12345", "100000000000000000000000")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, rule := range rules {
			checkOne(t, rule, a)
			checkOne(t, rule, b)
			checkPair(t, rule, a, b)
		}
	})
}

// checkOne checks that Evaluate and Select agree on a tag.
func checkOne(t *testing.T, rule *Rule, tag string) {
	t.Helper()
	best, found := rule.Select([]string{tag, tag})
	if v := rule.Evaluate(tag); v.Accepted() != found || found && (best != Choice{Tag: tag, Key: v.Key}) {
		t.Errorf("%s: Evaluate returned %+v, Select %+v and %t", rule, v, best, found)
	}
}

// checkPair checks that Compare, Select, Explain and Ranking agree on the order of two tags.
func checkPair(t *testing.T, rule *Rule, a, b string) {
	t.Helper()
	order := rule.Compare(a, b)
	if reverse := rule.Compare(b, a); order != -reverse || (order == 0) != (a == b) {
		t.Errorf("%s: comparing %q and %q: got %d, and %d in reverse", rule, a, b, order, reverse)
	}
	best, found := rule.Select([]string{a, b})
	if want := map[bool]string{true: a, false: b}[order > 0]; found && best.Tag != want {
		t.Errorf("%s: of %q and %q got %q, want %q", rule, a, b, best.Tag, want)
	}
	ranked := rule.Explain([]string{b, a}).Ranked
	if found != (len(ranked) > 0) || found && ranked[0] != best || !slices.Equal(ranked, slices.Collect(rule.Ranking([]string{a, b}))) {
		t.Errorf("%s: of %q and %q Select returned %+v, Explain %+v", rule, a, b, best, ranked)
	}
}
