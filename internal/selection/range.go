// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"errors"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// versionRange is a range of Masterminds/semver, which parses it and gives it
// its meaning. Asking semver.Constraints takes a version made by its own
// regular expression, which costs more than everything else in a selection, so
// what was parsed is held as comparisons that need no more than a version.
// Tests and a fuzz target hold both to the same answers.
type versionRange struct {
	text         string
	alternatives []alternative
}

// alternative is one of the parts between "||".
type alternative struct {
	comparators []comparator
	// prereleases says whether versions with a prerelease are considered:
	// they are where one of the comparators has one.
	prereleases bool
}

// compileRange parses a range.
func compileRange(text string) (versionRange, error) {
	constraints, err := parseConstraints(text)
	if err != nil {
		return versionRange{}, invalidRange(text, err)
	}
	r := versionRange{text: text}
	// The text of parsed constraints has hyphen ranges resolved, one space
	// between comparators and none within.
	for group := range strings.SplitSeq(constraints.String(), " || ") {
		a, err := compileAlternative(group)
		if err != nil {
			return versionRange{}, invalidRange(text, err)
		}
		r.alternatives = append(r.alternatives, a)
	}
	return r, nil
}

// parseConstraints parses a range, and refuses one that Masterminds/semver
// reads as something else than what is written there: it takes "||" for part of
// a version next to a hyphen, so that "1||2 - 3" is ">=1 || 2 <=3".
func parseConstraints(text string) (*semver.Constraints, error) {
	constraints, err := semver.NewConstraint(text)
	spaced, spacedErr := semver.NewConstraint(strings.ReplaceAll(text, "||", " || "))
	switch {
	case err != nil && spacedErr != nil, errors.Is(spacedErr, semver.ErrConstraintTooLong):
		return constraints, err
	case err != nil, spacedErr != nil, constraints.String() != spaced.String():
		return nil, errors.New("next to a hyphen range, || needs spaces around it")
	}
	return constraints, nil
}

func compileAlternative(group string) (alternative, error) {
	var a alternative
	for field := range strings.FieldsSeq(group) {
		c, err := compileComparator(field)
		if err != nil {
			return alternative{}, err
		}
		a.comparators = append(a.comparators, c)
		a.prereleases = a.prereleases || c.bound.prerelease != ""
	}
	return a, nil
}

func invalidRange(text string, err error) error {
	return &InvalidError{Field: fieldRange, Value: text,
		Problem: fmt.Sprintf("%v: write a range such as \"^1.2.0\", \">=1.0.0 <2.0.0\", \"1.2.x\" or \"1.2 - 1.4 || 2.x\"", err)}
}

// contains reports whether a version is in the range.
func (r *versionRange) contains(v *version) bool {
	for i := range r.alternatives {
		if r.alternatives[i].failing(v) == nil && r.alternatives[i].considers(v) {
			return true
		}
	}
	return false
}

// takesPrereleases reports whether any prerelease can be in the range.
func (r *versionRange) takesPrereleases() bool {
	for _, a := range r.alternatives {
		if a.prereleases {
			return true
		}
	}
	return false
}

// unmet returns, for every alternative that considers a version which is not
// in it, a comparator that keeps it out.
func (r *versionRange) unmet(v *version) []string {
	var unmet []string
	for i := range r.alternatives {
		a := &r.alternatives[i]
		if c := a.failing(v); c != nil && a.considers(v) {
			unmet = append(unmet, c.text)
		}
	}
	return unmet
}

// considers reports whether a version that has a prerelease gets its chance.
func (a *alternative) considers(v *version) bool { return v.prerelease == "" || a.prereleases }

// failing returns the first comparator that does not hold.
func (a *alternative) failing(v *version) *comparator {
	for i := range a.comparators {
		if !a.comparators[i].holds(v) {
			return &a.comparators[i]
		}
	}
	return nil
}
