// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"strings"
)

// byNatural compares keys in natural order, for natural policies.
type byNatural struct {
	acceptAll[string]
	plainKey[string]
	direction direction
}

func (byNatural) read(key string, value *string) rejection {
	*value = trimV(key)
	return rejection{}
}

func (n byNatural) compare(a, b *string) int { return n.direction.of(compareNatural(*a, *b)) }

func (n byNatural) better() string {
	return n.direction.text("is later in natural order than", "is earlier in natural order than")
}

// CompareNatural compares two tags in natural order, and breaks ties by the bytes of the tags:
//
//   - runs of digits compare as integers of any length, without their leading zeros;
//   - a pre-release word directly after a number, with or without a separator, sorts before the end
//     of the tag and before everything else, as "~" does in versions of Debian packages
//     (https://manpages.debian.org/stable/dpkg-dev/deb-version.7.en.html). Words compare
//     alphabetically; their case and their separator do not count;
//   - everything else compares byte by byte;
//   - a "v" before a digit at the start does not count.
//
// The order is that of the sequences of these parts, so it is total.
func CompareNatural(a, b string) int {
	if order := compareNatural(trimV(a), trimV(b)); order != 0 {
		return order
	}
	return strings.Compare(a, b)
}

// trimV removes a "v" before a digit at the start of a key.
func trimV(key string) string {
	if len(key) > 1 && key[0] == 'v' && isDigit(key[1]) {
		return key[1:]
	}
	return key
}

// compareNatural is CompareNatural for keys without a leading "v". It returns 0 for keys that differ
// only in leading zeros and in the writing of pre-release words.
func compareNatural(a, b string) int {
	start := startOfDifference(a, b, commonPrefix(a, b))
	afterNumber := start > 0 && isDigit(a[start-1])
	a, b = a[start:], b[start:]
	order := 0
	for {
		if afterNumber {
			order, a, b = comparePrereleaseWords(a, b)
		}
		switch {
		case order != 0:
			return order
		case a == "" || b == "":
			return cmp.Compare(len(a), len(b))
		}
		if afterNumber = isDigit(a[0]) && isDigit(b[0]); afterNumber {
			order, a, b = compareIntegers(a, b)
		} else {
			order, a, b = cmp.Compare(a[0], b[0]), a[1:], b[1:]
		}
		if order != 0 {
			return order
		}
	}
}

// commonPrefix returns the length of the common prefix of two keys, in steps of eight bytes: most
// tags have a long prefix in common with the best one.
func commonPrefix(a, b string) int {
	const step = 8
	length, end := 0, min(len(a), len(b))
	for ; length+step <= end; length += step {
		if different := uint64At(a, length) ^ uint64At(b, length); different != 0 {
			return length + bits.TrailingZeros64(different)/8
		}
	}
	for length < end && a[length] == b[length] {
		length++
	}
	return length
}

func uint64At(key string, i int) uint64 { return binary.LittleEndian.Uint64([]byte(key[i:])) }

// startOfDifference returns where to start the comparison of two keys that are equal before position
// i: at the number to which position i belongs, or after the number that precedes the word there.
func startOfDifference(a, b string, i int) int {
	if hasLetter(a, i) || hasLetter(b, i) {
		for i > 0 && isLetter(a[i-1]) {
			i--
		}
		if i > 0 && isSeparator(a[i-1]) {
			i--
		}
	}
	if hasDigit(a, i) || hasDigit(b, i) {
		for i > 0 && isDigit(a[i-1]) {
			i--
		}
	}
	return i
}

// compareIntegers compares the integers at the start of two keys. If they are equal, it also returns
// what follows them.
func compareIntegers(a, b string) (int, string, string) {
	a, b = trimZeros(a), trimZeros(b)
	i := 0
	for hasDigit(a, i) && i < len(b) && a[i] == b[i] {
		i++
	}
	first := i
	for hasDigit(a, i) && hasDigit(b, i) {
		i++
	}
	switch {
	case hasDigit(a, i):
		return 1, "", ""
	case hasDigit(b, i):
		return -1, "", ""
	case first < i:
		return cmp.Compare(a[first], b[first]), "", ""
	}
	return 0, a[i:], b[i:]
}

func trimZeros(key string) string {
	for key != "" && key[0] == '0' {
		key = key[1:]
	}
	return key
}

func hasDigit(key string, i int) bool { return i < len(key) && isDigit(key[i]) }

func hasLetter(key string, i int) bool { return i < len(key) && isLetter(key[i]) }

// comparePrereleaseWords compares the pre-release words at the start of two keys, which are the
// remainders after a number, and returns what follows them.
func comparePrereleaseWords(a, b string) (int, string, string) {
	left, a := cutPrereleaseWord(a)
	right, b := cutPrereleaseWord(b)
	return cmp.Compare(left, right), a, b
}

// prereleaseWords are the pre-release words by their first letters, by which they are ordered.
var prereleaseWords = [...]string{'a': "alpha", 'b': "beta", 'd': "dev", 'p': "pre", 'r': "rc", 's': "snapshot"}

// noPrereleaseWord sorts after all pre-release words.
const noPrereleaseWord = byte(len(prereleaseWords))

// cutPrereleaseWord returns the first letter of the pre-release word at the start of a key and what
// follows it, or noPrereleaseWord and the key. Separators and upper case are those that Python's
// versions allow, and Maven writes SNAPSHOT
// (https://packaging.python.org/en/latest/specifications/version-specifiers/#pre-release-separators,
// https://maven.apache.org/pom.html#version-order-specification).
func cutPrereleaseWord(key string) (byte, string) {
	text := key
	if text != "" && isSeparator(text[0]) {
		text = text[1:]
	}
	if text == "" || text[0]|0x20 >= noPrereleaseWord {
		return noPrereleaseWord, key
	}
	word := prereleaseWords[text[0]|0x20]
	if word == "" || len(text) < len(word) || !strings.EqualFold(text[:len(word)], word) {
		return noPrereleaseWord, key
	}
	if hasLetter(text, len(word)) {
		return noPrereleaseWord, key
	}
	return word[0], text[len(word):]
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// isSeparator reports whether a byte is one of the three that a tag may contain besides letters and
// digits (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests).
func isSeparator(c byte) bool { return c == '-' || c == '.' || c == '_' }
