// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"cmp"
	"fmt"
	"math/big"
	"math/rand/v2"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

var numberGrammar = regexp.MustCompile(`^([+-]?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$`)

// referenceNumber is ±0.digits × 10^exponent in one form for every value. Its
// exponent is a big.Int, so it serves where a big.Rat cannot.
type referenceNumber struct {
	sign     int
	digits   string
	exponent *big.Int
}

func parseReferenceNumber(key string) (referenceNumber, bool) {
	m := numberGrammar.FindStringSubmatch(key)
	if m == nil {
		return referenceNumber{}, false
	}
	exponent := new(big.Int)
	if m[4] != "" {
		exponent.SetString(strings.TrimPrefix(m[4], "+"), 10)
	}
	digits := m[2] + m[3]
	exponent.Add(exponent, big.NewInt(int64(len(m[2]))))
	for strings.HasPrefix(digits, "0") {
		digits = digits[1:]
		exponent.Sub(exponent, big.NewInt(1))
	}
	digits = strings.TrimRight(digits, "0")
	switch {
	case digits == "":
		return referenceNumber{exponent: new(big.Int)}, true
	case m[1] == "-":
		return referenceNumber{sign: -1, digits: digits, exponent: exponent}, true
	default:
		return referenceNumber{sign: 1, digits: digits, exponent: exponent}, true
	}
}

func (a referenceNumber) compare(b referenceNumber) int {
	if a.sign != b.sign {
		return cmp.Compare(a.sign, b.sign)
	}
	return a.sign * cmp.Or(a.exponent.Cmp(b.exponent), strings.Compare(a.digits, b.digits))
}

// checkNumbers compares two numbers with the reference.
func checkNumbers(t *testing.T, a, b string) {
	t.Helper()
	left, leftProblem := parseNumber(a)
	right, rightProblem := parseNumber(b)
	wantLeft, leftOK := parseReferenceNumber(a)
	wantRight, rightOK := parseReferenceNumber(b)
	if leftOK != (leftProblem == "") || rightOK != (rightProblem == "") {
		t.Fatalf("numbers %q and %q: got problems %q and %q, want %t and %t", a, b, leftProblem, rightProblem, leftOK, rightOK)
	}
	if !leftOK || !rightOK {
		return
	}
	if got, want := compareNumbers(&left, &right), wantLeft.compare(wantRight); got != want {
		t.Fatalf("compare %q with %q: got %d, want %d", a, b, got, want)
	}
}

func randomDigits(rnd *rand.Rand, most int) string {
	digits := make([]byte, 1+rnd.IntN(most))
	for i := range digits {
		digits[i] = "0009125"[rnd.IntN(7)]
	}
	return string(digits)
}

func randomNumber(rnd *rand.Rand) string {
	sign := func() string { return []string{"", "", "-", "+"}[rnd.IntN(4)] }
	text := sign() + randomDigits(rnd, 5)
	if rnd.IntN(2) == 0 {
		text += "." + randomDigits(rnd, 5)
	}
	switch rnd.IntN(4) {
	case 0:
		text += "e" + sign() + fmt.Sprint(rnd.IntN(5))
	case 1: // about where exponents stop being small
		limit := big.NewInt(smallLimit)
		text += "E" + sign() + limit.Add(limit, big.NewInt(int64(rnd.IntN(9)-4))).String()
	}
	return text
}

func TestNumbersAgreeWithReference(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 100_000 {
		checkNumbers(t, randomNumber(rnd), randomNumber(rnd))
	}
}

func TestExponentsAreExactAtAnyLength(t *testing.T) {
	nines := strings.Repeat("9", 40)
	tests := []struct {
		reason string
		a, b   string
		want   int
	}{
		{"a shifted point is made up for", "1e1" + strings.Repeat("0", 40), "10e" + nines, 0},
		{"by one more it is not", "1e1" + strings.Repeat("0", 40), "11e" + nines, -1},
		{"the same below zero", "1e-1" + strings.Repeat("0", 40), "0.1e-" + nines, 0},
		{"zeros that lead an exponent do not count", "1e" + strings.Repeat("0", 40) + "7", "1e7", 0},
		{"a huge exponent is beyond a long number", "1e1" + strings.Repeat("0", 40), strings.Repeat("9", 100), 1},
		{"a huge negative one is next to zero", "1e-1" + strings.Repeat("0", 40), "0", 1},
		{"from either side", "-1e-1" + strings.Repeat("0", 40), "0", -1},
		{"the last digit decides", "1e" + nines + "8", "1e" + nines + "9", -1},
		{"the other way round below zero", "1e-" + nines + "8", "1e-" + nines + "9", 1},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			a, problemA := parseNumber(tt.a)
			b, problemB := parseNumber(tt.b)
			if problemA != "" || problemB != "" {
				t.Fatalf("problems %q and %q", problemA, problemB)
			}
			if got := compareNumbers(&a, &b); got != tt.want {
				t.Errorf("compare %q with %q: got %d, want %d", tt.a, tt.b, got, tt.want)
			}
		})
	}
}

func TestExponentsAreNotExpanded(t *testing.T) {
	const digits = 1_000_000
	bomb := "1e" + strings.Repeat("9", digits)
	rule := compiled(t, numerical("asc"), nil)
	tags := []string{"1e9", bomb, "1e-" + bomb[2:], "7"}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	best, _ := rule.Select(tags)
	elapsed := time.Since(start)
	runtime.ReadMemStats(&after)
	if best.Tag != bomb {
		t.Error("the greatest number was not selected")
	}
	if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(10*digits); got > limit {
		t.Errorf("%d bytes were allocated for exponents of %d digits, want at most %d", got, digits, limit)
	}
	if limit := 2 * time.Second; elapsed > limit { // some milliseconds, with room for a busy machine
		t.Errorf("exponents of %d digits took %s, want at most %s", digits, elapsed, limit)
	}
}

func FuzzNumber(f *testing.F) {
	for _, key := range []string{"0", "-0", "+1.50e-3", "1e999999999999999999999", "0.000", ".5", "5.", "1e", "NaN", "0x1", "1_0"} {
		f.Add(key, "1e999999999999999999998")
	}
	f.Fuzz(checkNumbers)
}
