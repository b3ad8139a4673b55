// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// policy is a randomly generated policy.
type policy struct {
	choice v1.ImagePolicyChoice
	filter *v1.TagFilter
}

// filters are typical patterns for the real lists. Their last group is the extracted one.
var filters = []*v1.TagFilter{
	nil,
	filtered(`^v?[0-9]+\.[0-9]+\.[0-9]+$`, ""),
	filtered(`alpine`, ""),
	filtered(`^(?P<version>[0-9]+\.[0-9]+\.[0-9]+)-alpine`, "$version"),
	filtered(`^([0-9]+)\.([0-9]+)-`, "$1.$2.0"),
	filtered(`^([0-9]+)\.([0-9]+)`, "${1}.$2"),
	filtered(`-(?P<date>[0-9]{8})(-slim)?$`, "$date"),
	filtered(`^[0-9]+\.[0-9]+\.([0-9]+)`, "1.0.0-rc.$1"),
	filtered(`([0-9]+)$`, "-0.$1"),
	filtered(`([0-9]+)e?([0-9]?)`, "${1}0e-$2"),
	filtered(`^(v?)([0-9.]+)(-.*)?$`, "$1$2$3"),
	filtered(`-([a-z]+)`, "$1"),
	filtered(`.`, "$0"),
}

// randomRange returns a range around versions in a list.
func randomRange(rnd *rand.Rand, tags []string) string {
	for {
		text := randomAlternative(rnd, tags)
		for rnd.IntN(3) == 0 {
			text += " || " + randomAlternative(rnd, tags)
		}
		if _, err := semver.NewConstraint(text); err == nil {
			return text
		}
	}
}

func randomAlternative(rnd *rand.Rand, tags []string) string {
	operators := []string{"", "=", "!=", ">", "<", ">=", "=>", "<=", "=<", "~", "~>", "^"}
	if rnd.IntN(6) == 0 {
		return randomBound(rnd, tags) + " - " + randomBound(rnd, tags)
	}
	var comparators []string
	for len(comparators) == 0 || rnd.IntN(2) == 0 {
		space := []string{"", " "}[rnd.IntN(2)]
		comparators = append(comparators, operators[rnd.IntN(len(operators))]+space+randomBound(rnd, tags))
	}
	return strings.Join(comparators, []string{" ", ", ", ","}[rnd.IntN(3)])
}

// randomBound returns a version based on a tag, possibly with a wildcard or without some numbers.
func randomBound(rnd *rand.Rand, tags []string) string {
	var numbers []string
	if v, err := semver.NewVersion(tags[rnd.IntN(len(tags))]); err == nil && rnd.IntN(5) > 0 {
		numbers = []string{fmt.Sprint(v.Major()), fmt.Sprint(v.Minor()), fmt.Sprint(v.Patch())}
	} else {
		numbers = []string{fmt.Sprint(rnd.IntN(3)), fmt.Sprint(rnd.IntN(3)), fmt.Sprint(rnd.IntN(3))}
	}
	if rnd.IntN(4) == 0 {
		numbers[rnd.IntN(3)] = []string{"x", "X", "*"}[rnd.IntN(3)]
	}
	bound := strings.Join(numbers[:1+rnd.IntN(3)], ".")
	if rnd.IntN(4) == 0 {
		bound += []string{"-0", "-alpha", "-rc.1", "-alpine3.11", "-beta.2"}[rnd.IntN(5)]
	}
	if rnd.IntN(10) == 0 {
		bound += "+build.5"
	}
	if rnd.IntN(5) == 0 {
		bound = "v" + bound
	}
	return bound
}

func randomPolicy(rnd *rand.Rand, tags []string) policy {
	order := []string{"", v1.OrderAscending, v1.OrderDescending}[rnd.IntN(3)]
	p := policy{filter: filters[rnd.IntN(len(filters))]}
	switch rnd.IntN(5) {
	case 0:
		p.choice = alphabetical(order)
	case 1:
		p.choice = numerical(order)
	case 2:
		p.choice = natural(order)
	default:
		p.choice = semVer(randomRange(rnd, tags))
	}
	return p
}

func TestRanking_MatchesReferenceOnRealTags(t *testing.T) {
	const policiesPerList = 40
	for _, image := range realLists {
		t.Run(image, func(t *testing.T) {
			t.Parallel()
			tags := realTags(t, image)
			rnd := rand.New(rand.NewPCG(4, uint64(len(tags))))
			for range policiesPerList {
				p := randomPolicy(rnd, tags)
				want := referenceRanking(t, p.choice, p.filter, tags)
				got := slices.Collect(compiled(t, p.choice, p.filter).Ranking(tags))
				NewWithT(t).Expect(got).To(BeComparableTo(want), "%s: ranking differs from the reference", describe(p.choice, p.filter))
			}
		})
	}
}
