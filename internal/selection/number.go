// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"cmp"
	"math"
	"strconv"
	"strings"
)

// numbers is the order of a numerical policy: the exact value.
type numbers struct {
	unbounded[number]
	plain[number]
	direction direction
}

func (numbers) read(key string, n *number) string {
	var problem string
	*n, problem = parseNumber(key)
	return problem
}

func (n numbers) compare(a, b *number) int { return n.direction.of(compareNumbers(a, b)) }

func (numbers) unreadable() Cause { return CauseNoNumber }

func (n numbers) better() string {
	return n.direction.text("is a greater number than", "is a lesser number than")
}

// number is sign × 0.DIGITS × 10^exponent, where DIGITS are whole and then
// fraction, the first of them not zero. It is as exact as its text.
type number struct {
	sign            int // -1, 0 or 1
	whole, fraction string
	exponent        exponent
}

// What keeps a key from being a number, as reasons in a Verdict.
const (
	notNumberStart    = "is not a number: it does not start with a digit, or a sign and a digit"
	notNumberPoint    = "is not a number: no digit follows the decimal point"
	notNumberExponent = "is not a number: no digit follows the exponent's e"
	notNumberRest     = "is not a number: something follows the digits"
)

// parseNumber reads [+-]digits[.digits][e[+-]digits], and returns the number
// and the problem, empty for none, that keeps the key from being one. It
// allocates only for an exponent beyond 10^18.
func parseNumber(key string) (number, string) {
	negative, rest := cutSign(key)
	whole, rest := cutDigits(rest)
	if whole == "" {
		return number{}, notNumberStart
	}
	var fraction, power string
	var negativePower bool
	if after, found := strings.CutPrefix(rest, "."); found {
		if fraction, rest = cutDigits(after); fraction == "" {
			return number{}, notNumberPoint
		}
	}
	if rest != "" && rest[0]|0x20 == 'e' {
		negativePower, rest = cutSign(rest[1:])
		if power, rest = cutDigits(rest); power == "" {
			return number{}, notNumberExponent
		}
	}
	if rest != "" {
		return number{}, notNumberRest
	}
	return newNumber(negative, whole, fraction, negativePower, power), ""
}

func newNumber(negative bool, whole, fraction string, negativePower bool, power string) number {
	whole = strings.TrimLeft(whole, "0")
	point := len(whole)
	if whole == "" {
		significant := strings.TrimLeft(fraction, "0")
		if significant == "" {
			return number{} // zero, whatever its sign and exponent
		}
		point = len(significant) - len(fraction)
		fraction = significant
	}
	n := number{sign: 1, whole: whole, fraction: fraction, exponent: newExponent(negativePower, power, point)}
	if negative {
		n.sign = -1
	}
	return n
}

// cutSign cuts a sign off s, if there is one, and reports whether it is negative.
func cutSign(s string) (bool, string) {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		return s[0] == '-', s[1:]
	}
	return false, s
}

// cutDigits returns the digits that s starts with, and the rest.
func cutDigits(s string) (string, string) {
	end := 0
	for end < len(s) && isDigit(s[end]) {
		end++
	}
	return s[:end], s[end:]
}

func compareNumbers(a, b *number) int {
	if a.sign != b.sign || a.sign == 0 {
		return cmp.Compare(a.sign, b.sign)
	}
	if c := compareExponents(&a.exponent, &b.exponent); c != 0 {
		return a.sign * c
	}
	return a.sign * compareDigits(a, b)
}

// compareDigits compares the digits behind the point of 0.DIGITS.
func compareDigits(a, b *number) int {
	if len(a.whole) == len(b.whole) {
		if c := strings.Compare(a.whole, b.whole); c != 0 {
			return c
		}
		// Only zeros can tell the lengths apart where the values are equal.
		return strings.Compare(strings.TrimRight(a.fraction, "0"), strings.TrimRight(b.fraction, "0"))
	}
	for i := range max(a.digits(), b.digits()) {
		if c := cmp.Compare(a.digit(i), b.digit(i)); c != 0 {
			return c
		}
	}
	return 0
}

func (n *number) digits() int { return len(n.whole) + len(n.fraction) }

// digit returns the digit at index i, zero behind the last one.
func (n *number) digit(i int) byte {
	switch {
	case i < len(n.whole):
		return n.whole[i]
	case i < n.digits():
		return n.fraction[i-len(n.whole)]
	default:
		return '0'
	}
}

// exponent is a power of ten of any size. One number has one form.
type exponent struct {
	// value is the exponent, or where it has more than maxSmallDigits digits,
	// the greatest or least value there is.
	value int64
	// huge holds the digits of such an exponent, without its sign.
	huge string
}

// maxSmallDigits is how many digits an int64 holds with room to spare.
const maxSmallDigits = 18

// newExponent returns ±power + point. It is never expanded: the cost grows
// with the length of its text.
func newExponent(negative bool, power string, point int) exponent {
	power = strings.TrimLeft(power, "0")
	sign := int64(1)
	if negative {
		sign = -1
	}
	shift := sign * int64(point)
	if len(power) <= maxSmallDigits {
		size, _ := strconv.ParseInt("0"+power, 10, 64) // 18 digits always fit
		if value := sign*size + int64(point); -smallLimit < value && value < smallLimit {
			return exponent{value: value}
		}
	}
	power = addToDigits(power, shift)
	if len(power) <= maxSmallDigits {
		size, _ := strconv.ParseInt(power, 10, 64) // 18 digits always fit
		return exponent{value: sign * size}
	}
	if negative {
		return exponent{value: math.MinInt64, huge: power}
	}
	return exponent{value: math.MaxInt64, huge: power}
}

// smallLimit is the least value that has more than maxSmallDigits digits.
const smallLimit = 1_000_000_000_000_000_000

// addToDigits adds to a decimal number that is greater than what is added.
func addToDigits(decimal string, addend int64) string {
	sum := []byte(decimal)
	for i := len(sum) - 1; i >= 0 && addend != 0; i-- {
		addend += int64(sum[i] - '0')
		digit := (addend%10 + 10) % 10
		sum[i] = byte('0' + digit)
		addend = (addend - digit) / 10
	}
	if addend > 0 {
		return strconv.FormatInt(addend, 10) + string(sum)
	}
	return strings.TrimLeft(string(sum), "0")
}

func compareExponents(a, b *exponent) int {
	if a.value != b.value || a.huge == b.huge {
		return cmp.Compare(a.value, b.value)
	}
	c := cmp.Or(cmp.Compare(len(a.huge), len(b.huge)), strings.Compare(a.huge, b.huge))
	if a.value < 0 {
		return -c
	}
	return c
}
