// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"fmt"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Compile returns the Rule of policy, filterTags and exclude. If one of them is invalid, the error
// is an *InvalidError that names the field and the fix.
func Compile(spec *v1.ImagePolicySpec) (*Rule, error) {
	choice := spec.Policy
	if err := checkOneChosen(choice); err != nil {
		return nil, err
	}
	filter, err := compileFilter(spec.FilterTags, spec.Exclude)
	if err != nil {
		return nil, err
	}
	switch {
	case choice.Newest != nil:
		return compileNewest(choice.Newest, filter)
	case choice.SemVer != nil:
		return compileSemVer(choice.SemVer, filter)
	case choice.Numerical != nil:
		return compileNumerical(choice.Numerical, filter)
	case choice.Natural != nil:
		return compileNatural(choice.Natural, filter)
	default:
		return compileAlphabetical(choice.Alphabetical, filter)
	}
}

// checkOneChosen returns an error unless exactly one policy is set.
func checkOneChosen(choice v1.ImagePolicyChoice) error {
	chosen := 0
	for _, set := range []bool{
		choice.SemVer != nil, choice.Alphabetical != nil, choice.Numerical != nil, choice.Natural != nil, choice.Newest != nil,
	} {
		if set {
			chosen++
		}
	}
	switch chosen {
	case 1:
		return nil
	case 0:
		return &InvalidError{Field: fieldPolicy, Problem: "no policy is chosen: set one of semver, alphabetical, numerical, natural and newest"}
	default:
		return &InvalidError{Field: fieldPolicy,
			Problem: "more than one policy is chosen: keep one of semver, alphabetical, numerical, natural and newest"}
	}
}

// rangeBatch limits the memory of a selection to about 300 KiB. It exceeds the number of releases
// in any known list; with smaller batches, more versions would be checked against the range.
const rangeBatch = 4096

func compileSemVer(policy *v1.SemVerPolicy, f *filter) (*Rule, error) {
	accepted, err := compileRange(policy.Range)
	if err != nil {
		return nil, err
	}
	return &Rule{
		ranker: &engine[version, byVersion]{filter: f, order: accepted, batch: rangeBatch},
		text:   fmt.Sprintf("highest version in the range %q", policy.Range) + f.text(),
	}, nil
}

func compileNumerical(policy *v1.NumericalPolicy, f *filter) (*Rule, error) {
	d, err := compileDirection(fieldNumericalOrder, policy.Order)
	if err != nil {
		return nil, err
	}
	return &Rule{
		ranker: &engine[number, byNumber]{filter: f, order: byNumber{direction: d}},
		text:   d.text("greatest number", "least number") + f.text(),
	}, nil
}

func compileAlphabetical(policy *v1.AlphabeticalPolicy, f *filter) (*Rule, error) {
	d, err := compileDirection(fieldAlphabeticalOrder, policy.Order)
	if err != nil {
		return nil, err
	}
	return &Rule{
		ranker: &engine[string, byText]{filter: f, order: byText{direction: d}},
		text:   d.text("last in alphabetical order", "first in alphabetical order") + f.text(),
	}, nil
}

func compileNatural(policy *v1.NaturalPolicy, f *filter) (*Rule, error) {
	d, err := compileDirection(fieldNaturalOrder, policy.Order)
	if err != nil {
		return nil, err
	}
	return &Rule{
		ranker: &engine[string, byNatural]{filter: f, order: byNatural{direction: d}},
		text:   d.text("last in natural order", "first in natural order") + f.text(),
	}, nil
}

// direction is 1 if the greatest key is the best, and -1 if the least is.
type direction int

// compileDirection parses an order. The default is ascending.
func compileDirection(field, order string) (direction, error) {
	switch order {
	case "", v1.OrderAscending:
		return 1, nil
	case v1.OrderDescending:
		return -1, nil
	default:
		return 0, &InvalidError{Field: field, Value: order,
			Problem: fmt.Sprintf("there is no such order: write %q, where the greatest is the latest, or %q, where the least is",
				v1.OrderAscending, v1.OrderDescending)}
	}
}

// of converts the result of a comparison in ascending order to this direction.
func (d direction) of(comparison int) int { return int(d) * comparison }

func (d direction) text(ascending, descending string) string {
	if d < 0 {
		return descending
	}
	return ascending
}
