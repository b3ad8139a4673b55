// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"cmp"
	"strings"
)

// byNumber is the order of a numerical policy: the exact value.
type byNumber struct {
	acceptAll[number]
	plain[number]
	direction direction
}

func (n byNumber) compare(a, b *number) int { return n.direction.of(compareNumbers(a, b)) }

func (n byNumber) better() string {
	return n.direction.text("is a greater number than", "is a lesser number than")
}

// number is sign × WHOLE.FRACTION, as exact as its text. One value has one form:
// no zeros lead WHOLE or end FRACTION.
type number struct {
	sign            int // -1, 0 or 1
	whole, fraction string
}

// What keeps a key from being a number, as reasons in a Verdict.
const (
	notNumberStart = "is not a number: it does not start with a digit, or a sign and a digit"
	notNumberPoint = "is not a number: no digit follows the decimal point"
	notNumberRest  = "is not a number: something follows the digits"
)

// read parses [+-]digits[.digits]. There are no exponents: 7e12345 is a commit.
func (byNumber) read(key string, n *number) rejection {
	*n = number{sign: 1}
	rest, negative := strings.CutPrefix(key, "-")
	if negative {
		n.sign = -1
	} else {
		rest = strings.TrimPrefix(key, "+")
	}
	whole, rest := cutDigits(rest)
	fraction, hasPoint := "", false
	if rest, hasPoint = strings.CutPrefix(rest, "."); hasPoint {
		fraction, rest = cutDigits(rest)
	}
	switch {
	case whole == "":
		return rejection{CauseNoNumber, notNumberStart}
	case hasPoint && fraction == "":
		return rejection{CauseNoNumber, notNumberPoint}
	case rest != "":
		return rejection{CauseNoNumber, notNumberRest}
	}
	n.whole, n.fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if n.whole == "" && n.fraction == "" {
		n.sign = 0
	}
	return rejection{}
}

// cutDigits returns the digits that s starts with, and the rest.
func cutDigits(s string) (string, string) {
	end := 0
	for end < len(s) && isDigit(s[end]) {
		end++
	}
	return s[:end], s[end:]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func compareNumbers(a, b *number) int {
	if a.sign != b.sign {
		return cmp.Compare(a.sign, b.sign)
	}
	return a.sign * cmp.Or(
		cmp.Compare(len(a.whole), len(b.whole)),
		strings.Compare(a.whole, b.whole),
		strings.Compare(a.fraction, b.fraction))
}
