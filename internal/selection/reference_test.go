// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// This file is a second, simple implementation of the ranking: it keeps the tags that the libraries
// accept and sorts them with the comparisons of the libraries. It shares no code with the engine.

// referenceRanking returns the candidates, best first.
func referenceRanking(tb testing.TB, choice v1.ImagePolicyChoice, filter *v1.TagFilter, tags []string) []Choice {
	tb.Helper()
	candidates := referenceFilter(tb, filter, tags)
	switch {
	case choice.SemVer != nil:
		return referenceVersions(tb, choice.SemVer.Range, candidates)
	case choice.Numerical != nil:
		return referenceNumbers(tb, choice.Numerical.Order, candidates)
	case choice.Natural != nil:
		return referenceSort(candidates, referenceDirection(choice.Natural.Order),
			func(key string) ([]part, bool) { return referenceParts(key), true },
			func(a, b []part) int { return slices.CompareFunc(a, b, comparePart) })
	default:
		return referenceTexts(choice.Alphabetical.Order, candidates)
	}
}

func referenceFilter(tb testing.TB, filter *v1.TagFilter, tags []string) []Choice {
	tb.Helper()
	var candidates []Choice
	for _, tag := range slices.Compact(slices.Sorted(slices.Values(tags))) {
		key := tag
		if filter != nil {
			pattern := regexp.MustCompile(filter.Pattern)
			match := pattern.FindStringSubmatchIndex(tag)
			if match == nil {
				continue
			}
			if filter.Extract != "" {
				key = string(pattern.ExpandString(nil, filter.Extract, tag, match))
			}
		}
		candidates = append(candidates, Choice{Tag: tag, Key: key})
	}
	return candidates
}

var threeNumbers = regexp.MustCompile(`^v?[0-9]+\.[0-9]+\.[0-9]+([-+]|$)`)

func referenceVersions(tb testing.TB, text string, candidates []Choice) []Choice {
	tb.Helper()
	constraints, err := semver.NewConstraint(text)
	NewWithT(tb).Expect(err).NotTo(HaveOccurred())
	return referenceSort(candidates, 1,
		func(key string) (*semver.Version, bool) {
			v, err := semver.NewVersion(key)
			return v, err == nil && threeNumbers.MatchString(key) && constraints.Check(v)
		},
		(*semver.Version).Compare)
}

var decimal = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?$`)

func referenceNumbers(tb testing.TB, order string, candidates []Choice) []Choice {
	tb.Helper()
	return referenceSort(candidates, referenceDirection(order),
		func(key string) (*big.Rat, bool) {
			if !decimal.MatchString(key) {
				return nil, false
			}
			return new(big.Rat).SetString(key)
		},
		(*big.Rat).Cmp)
}

func referenceTexts(order string, candidates []Choice) []Choice {
	return referenceSort(candidates, referenceDirection(order),
		func(key string) (string, bool) { return key, true },
		strings.Compare)
}

func referenceDirection(order string) int {
	if order == v1.OrderDescending {
		return -1
	}
	return 1
}

func referenceSort[K any](candidates []Choice, direction int, parse func(string) (K, bool), compare func(a, b K) int) []Choice {
	keys := map[string]K{}
	var accepted []Choice
	for _, c := range candidates {
		if key, ok := parse(c.Key); ok {
			keys[c.Key] = key
			accepted = append(accepted, c)
		}
	}
	slices.SortFunc(accepted, func(a, b Choice) int {
		if c := direction * compare(keys[a.Key], keys[b.Key]); c != 0 {
			return -c
		}
		return strings.Compare(b.Tag, a.Tag)
	})
	return accepted
}
