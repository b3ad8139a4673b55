// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// byVersion compares versions by precedence and accepts those in a range, as defined by
// Masterminds/semver.
type byVersion struct {
	plainKey[version]
	rangeText   string // the range as written in the policy
	constraints *semver.Constraints
	// noPrereleases is the reason for rejecting prereleases, or empty if the range accepts some. It
	// saves checking them against the range, since most tags, such as 1.2.3-alpine, are prereleases.
	noPrereleases string
}

// comparatorPattern matches one comparison of a range. Masterminds/semver ignores what follows a
// wildcard, so that the mistake "*.1|2" would select everything.
var comparatorPattern = regexp.MustCompile(`^[=!<>~^]*v?([0-9]+|[xX*])(\.([0-9]+|[xX*])){0,2}(-[^+]+)?(\+.+)?$`)

// compileRange parses a range.
func compileRange(text string) (byVersion, error) {
	constraints, err := parseConstraints(text)
	if err != nil {
		return byVersion{}, invalidRange(text, err)
	}
	bv := byVersion{rangeText: text, constraints: constraints, noPrereleases: fmt.Sprintf("is a prerelease, and the range %q takes none "+
		"(a range takes them if a version in it has one, as in \">=1.0.0-0\")", text)}
	// In the string of parsed constraints, hyphen ranges are resolved and spaces only separate
	// comparators.
	for field := range strings.FieldsSeq(constraints.String()) {
		m := comparatorPattern.FindStringSubmatch(field)
		if m == nil && field != "||" {
			return byVersion{}, invalidRange(text, fmt.Errorf("improper constraint: %q: each number is digits or a wildcard", field))
		}
		if m != nil && m[4] != "" {
			bv.noPrereleases = ""
		}
	}
	return bv, nil
}

// parseConstraints parses a range. It rejects ranges that Masterminds/semver misinterprets: next to
// a hyphen, it parses "||" as a part of the version, so that "1||2 - 3" is ">=1 || 2 <=3".
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

func invalidRange(text string, err error) error {
	return &InvalidError{Field: fieldRange, Value: text,
		Problem: fmt.Sprintf("%v: write a range such as \"^1.2.0\", \">=1.0.0 <2.0.0\", \"1.2.x\" or \"1.2 - 1.4 || 2.x\"", err)}
}

func (bv byVersion) read(key string, v *version) rejection {
	if problem := parseVersion(key, v); problem != "" {
		return rejection{CauseNoVersion, problem}
	}
	if v.prerelease != "" && bv.noPrereleases != "" {
		return rejection{CausePrerelease, bv.noPrereleases}
	}
	return rejection{}
}

func (byVersion) compare(a, b *version) int { return compareVersions(a, b) }

func (bv byVersion) accepts(v *version) bool { return bv.constraints.Check(v.semver()) }

func (bv byVersion) rejection(v *version) rejection {
	_, problems := bv.constraints.Validate(v.semver())
	const limit = 4 // a range can have hundreds
	details := errors.Join(problems[:min(limit, len(problems))]...).Error()
	return rejection{CauseRange, fmt.Sprintf("is outside the range %q: %s", bv.rangeText, strings.ReplaceAll(details, "\n", ", "))}
}

func (byVersion) better() string { return "is a higher version than" }
