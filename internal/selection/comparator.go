// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"fmt"
	"strings"
)

// relation is how a comparator relates a version to its bound.
type relation int

const (
	equal relation = iota
	notEqual
	greater
	less
	atLeast
	atMost
	// within wants a version at or above the bound whose numbers to a depth
	// are those of the bound.
	within
)

// comparator is one comparison of a range, such as ">=1.2" or "~1.4.x".
type comparator struct {
	relation relation
	bound    version
	// depth is how much of the bound counts where the relation looks at less
	// than the whole: zero for nothing.
	depth int
	// text is the comparator as Masterminds/semver writes it.
	text string
}

// operators holds what a comparator can start with, longer ones before those
// that they start with. None of them is "~" for a wildcard and "=" otherwise.
var operators = []string{"!=", ">=", "=>", "<=", "=<", "~>", "=", ">", "<", "~", "^", ""}

// wildcard is the first of the numbers of a bound that is "x", or not there.
type wildcard int

const (
	wildMajor wildcard = iota
	wildMinor
	wildPatch
	wildNone
)

// compileComparator parses a comparator that Masterminds/semver has accepted.
func compileComparator(text string) (comparator, error) {
	for _, operator := range operators {
		bound, found := strings.CutPrefix(text, operator)
		if !found {
			continue
		}
		v, wild, err := parseBound(bound)
		if err != nil {
			return comparator{}, err
		}
		c := relate(operator, v, wild)
		c.bound, c.text = v, text
		return c, nil
	}
	return comparator{}, fmt.Errorf("improper constraint: %q", text)
}

// parseBound reads a version whose numbers may be wildcards or missing. From
// the first such number on they count as zero. Masterminds/semver does not look
// at what follows a wildcard: in "*.1|2", which is everything to it, that is a
// slip that must not select everything.
func parseBound(text string) (version, wildcard, error) {
	core, suffix := strings.TrimPrefix(text, "v"), ""
	if i := strings.IndexAny(core, "-+"); i >= 0 {
		core, suffix = core[:i], core[i:]
	}
	suffix, _, _ = strings.Cut(suffix, "+")
	numbers := [...]string{"0", "0", "0"}
	wild := wildMajor
	for i, part := range strings.SplitN(core, ".", len(numbers)) {
		switch {
		case !isWildcard(part) && !areDigits(part):
			return version{}, 0, fmt.Errorf("improper constraint: %q: %q is neither a number nor a wildcard", text, part)
		case int(wild) == i && !isWildcard(part):
			numbers[i] = part
			wild++
		}
	}
	var v version
	if problem := parseVersion(strings.Join(numbers[:], ".")+suffix, &v); problem != "" {
		return version{}, 0, fmt.Errorf("improper constraint: %q %s", text, problem)
	}
	return v, wild, nil
}

func isWildcard(number string) bool { return number == "x" || number == "X" || number == "*" }

// relate says what an operator means before a bound.
func relate(operator string, bound version, wild wildcard) comparator {
	switch operator {
	case "", "=":
		if wild == wildNone {
			return comparator{relation: equal}
		}
		return comparator{relation: within, depth: tildeDepth(bound, wild)}
	case "~", "~>":
		return comparator{relation: within, depth: tildeDepth(bound, wild)}
	case "^":
		return comparator{relation: within, depth: caretDepth(bound, wild)}
	case "!=":
		return comparator{relation: notEqual, depth: wildDepth(wild, toPrerelease)}
	case ">":
		return comparator{relation: greater, depth: wildDepth(wild, toPrerelease)}
	case "<":
		return comparator{relation: less}
	case ">=", "=>":
		return comparator{relation: atLeast}
	default: // "<=", "=<"
		return comparator{relation: atMost, depth: atMostDepth(wild)}
	}
}

// tildeDepth: "~1.2.3" and "~1.2" hold the minor version, "~1" the major one,
// "~0.0.0" and "~*" neither.
func tildeDepth(bound version, wild wildcard) int {
	if bound.numbers == [3]uint64{} && wild != wildMinor && wild != wildPatch {
		return 0
	}
	return wildDepth(wild, toMinor)
}

// caretDepth: the first number that is not zero is held, and those before it.
func caretDepth(bound version, wild wildcard) int {
	switch {
	case bound.numbers[0] > 0 || wild == wildMinor:
		return toMajor
	case bound.numbers[1] > 0 || wild == wildPatch:
		return toMinor
	default:
		return toPatch
	}
}

// atMostDepth: "<=1.2.3" compares all, "<=1.2" takes every 1.2.z, "<=1" every
// 1.y.z, and "<=*" means "<=0.0".
func atMostDepth(wild wildcard) int {
	if wild == wildNone {
		return toPrerelease
	}
	return wildDepth(wild, toMinor)
}

// wildDepth is the depth of the numbers before the wildcard, and whole where
// none or all of them are wild.
func wildDepth(wild wildcard, whole int) int {
	switch wild {
	case wildMinor:
		return toMajor
	case wildPatch:
		return toMinor
	default:
		return whole
	}
}

// holds reports whether a version satisfies the comparator, prerelease or not.
func (c *comparator) holds(v *version) bool {
	switch c.relation {
	case equal:
		return compareVersions(v, &c.bound, toPrerelease) == 0
	case notEqual: // "!=1.2" refuses every 1.2.z, as long as the prerelease is the bound's
		return compareVersions(v, &c.bound, c.depth) != 0 || c.depth == toMinor && v.prerelease != c.bound.prerelease
	case greater:
		return compareVersions(v, &c.bound, c.depth) > 0
	case less:
		return compareVersions(v, &c.bound, toPrerelease) < 0
	case atLeast:
		return compareVersions(v, &c.bound, toPrerelease) >= 0
	case atMost:
		return compareVersions(v, &c.bound, c.depth) <= 0
	default: // within
		return compareVersions(v, &c.bound, toPrerelease) >= 0 && compareVersions(v, &c.bound, c.depth) == 0
	}
}
