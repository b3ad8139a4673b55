// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"cmp"
	"strings"
)

// byNumber compares keys as exact decimal numbers, for numerical policies.
type byNumber struct {
	acceptAll[number]
	plainKey[number]
	direction direction
}

func (n byNumber) compare(a, b *number) int { return n.direction.of(compareNumbers(a, b)) }

func (n byNumber) better() string {
	return n.direction.text("is a greater number than", "is a lesser number than")
}

// number is sign × INTEGER.FRACTION with arbitrary precision. It is normalized: INTEGER has no leading
// zeros and FRACTION no trailing ones.
type number struct {
	sign              int // -1, 0 or 1
	integer, fraction string
}

// The reasons for rejecting a key that is not a number.
const (
	notNumberStart = "is not a number: it does not start with a digit, or a sign and a digit"
	notNumberPoint = "is not a number: no digit follows the decimal point"
	notNumberRest  = "is not a number: something follows the digits"
)

// read parses [+-]digits[.digits]. Exponents are not supported, since 7e12345 is a commit.
func (byNumber) read(key string, n *number) rejection {
	*n = number{sign: 1}
	rest, negative := strings.CutPrefix(key, "-")
	if negative {
		n.sign = -1
	} else {
		rest = strings.TrimPrefix(key, "+")
	}
	integer, rest := cutDigits(rest)
	fraction, hasPoint := "", false
	if rest, hasPoint = strings.CutPrefix(rest, "."); hasPoint {
		fraction, rest = cutDigits(rest)
	}
	switch {
	case integer == "":
		return rejection{CauseNoNumber, notNumberStart}
	case hasPoint && fraction == "":
		return rejection{CauseNoNumber, notNumberPoint}
	case rest != "":
		return rejection{CauseNoNumber, notNumberRest}
	}
	n.integer, n.fraction = strings.TrimLeft(integer, "0"), strings.TrimRight(fraction, "0")
	if n.integer == "" && n.fraction == "" {
		n.sign = 0
	}
	return rejection{}
}

// cutDigits splits s after its leading digits.
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
		cmp.Compare(len(a.integer), len(b.integer)),
		strings.Compare(a.integer, b.integer),
		strings.Compare(a.fraction, b.fraction))
}
