// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// byVersion is the order of a semver policy: precedence, within a range of
// Masterminds/semver, which parses it and gives it its meaning.
type byVersion struct {
	plain[version]
	accepted    string // the range as it is written
	constraints *semver.Constraints
	// noPrereleases says why prereleases are rejected, empty where the range has one.
	// Most tags are one, as 1.2.3-alpine is, and to ask for each takes longer than
	// everything else.
	noPrereleases string
}

// comparatorPattern is one comparison of a range. Masterminds/semver does not look at what
// follows a wildcard: in "*.1|2", which is everything to it, that is a slip that must
// not select everything.
var comparatorPattern = regexp.MustCompile(`^[=!<>~^]*v?([0-9]+|[xX*])(\.([0-9]+|[xX*])){0,2}(-[^+]+)?(\+.+)?$`)

// compileRange parses a range.
func compileRange(text string) (byVersion, error) {
	constraints, err := parseConstraints(text)
	if err != nil {
		return byVersion{}, invalidRange(text, err)
	}
	v := byVersion{accepted: text, constraints: constraints, noPrereleases: fmt.Sprintf("is a prerelease, and the range %q takes none "+
		"(a range takes them where a version in it has one, as in \">=1.0.0-0\")", text)}
	// The text of parsed constraints has hyphen ranges resolved, spaces between
	// comparators and none within.
	for field := range strings.FieldsSeq(constraints.String()) {
		m := comparatorPattern.FindStringSubmatch(field)
		if m == nil && field != "||" {
			return byVersion{}, invalidRange(text, fmt.Errorf("improper constraint: %q: each number is digits or a wildcard", field))
		}
		if m != nil && m[4] != "" {
			v.noPrereleases = ""
		}
	}
	return v, nil
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

func invalidRange(text string, err error) error {
	return &InvalidError{Field: fieldRange, Value: text,
		Problem: fmt.Sprintf("%v: write a range such as \"^1.2.0\", \">=1.0.0 <2.0.0\", \"1.2.x\" or \"1.2 - 1.4 || 2.x\"", err)}
}

func (o byVersion) read(key string, v *version) rejection {
	if problem := parseVersion(key, v); problem != "" {
		return rejection{CauseNoVersion, problem}
	}
	if v.prerelease != "" && o.noPrereleases != "" {
		return rejection{CausePrerelease, o.noPrereleases}
	}
	return rejection{}
}

func (byVersion) compare(a, b *version) int { return compareVersions(a, b) }

func (o byVersion) admits(v *version) bool { return o.constraints.Check(v.semver()) }

func (o byVersion) refusal(v *version) rejection {
	_, problems := o.constraints.Validate(v.semver())
	const most = 4 // a range can have hundreds
	why := errors.Join(problems[:min(most, len(problems))]...).Error()
	return rejection{CauseRange, fmt.Sprintf("is outside the range %q: %s", o.accepted, strings.ReplaceAll(why, "\n", ", "))}
}

func (byVersion) better() string { return "is a higher version than" }
