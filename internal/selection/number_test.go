// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// checkNumbers compares compareNumbers with math/big.
func checkNumbers(t *testing.T, a, b string) {
	t.Helper()
	left, leftOK := checkNumber(t, a)
	right, rightOK := checkNumber(t, b)
	if !leftOK || !rightOK {
		return
	}
	x, _ := new(big.Rat).SetString(a)
	y, _ := new(big.Rat).SetString(b)
	if got, want := compareNumbers(&left, &right), x.Cmp(y); got != want {
		t.Fatalf("compare %q with %q: got %d, want %d", a, b, got, want)
	}
}

func checkNumber(t *testing.T, key string) (number, bool) {
	t.Helper()
	var n number
	rejected := byNumber{}.read(key, &n)
	if want := decimal.MatchString(key); want != (rejected == rejection{}) {
		t.Fatalf("number %q: got %+v, want one: %t", key, rejected, want)
	}
	return n, rejected == rejection{}
}

func randomNumber(rnd *rand.Rand) string {
	digits := func() string {
		digits := make([]byte, 1+rnd.IntN(5))
		for i := range digits {
			digits[i] = "0009125"[rnd.IntN(7)]
		}
		return string(digits)
	}
	text := []string{"", "", "-", "+"}[rnd.IntN(4)] + digits()
	if rnd.IntN(2) == 0 {
		text += "." + digits()
	}
	return text + []string{"", "", "", "", "e1", "E-2", ".", "x"}[rnd.IntN(8)]
}

func TestNumber_MatchesReference(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 100_000 {
		checkNumbers(t, randomNumber(rnd), randomNumber(rnd))
	}
}

func FuzzNumber(f *testing.F) {
	for _, key := range []string{"0", "-0", "+1.50", "7e12345", "0.000", ".5", "5.", "-", "NaN", "0x1", "1_0", strings.Repeat("9", 40)} {
		f.Add(key, "10.5")
	}
	f.Fuzz(checkNumbers)
}
