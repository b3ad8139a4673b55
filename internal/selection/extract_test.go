// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// FuzzExtract compares checkExtract with regexp's Expand: if it returns no error, Expand must
// replace each reference and nothing else.
func FuzzExtract(f *testing.F) {
	for _, extract := range []string{
		"$1", "${1}", "$0", "$ts", "${ts}", "$1$2", "${1}x$2", "$$1", "$", "$-", "a$1b", "${", "${1", "$é", "$1-$ts$$", "$01", "$1000000000", "1.0.0",
	} {
		f.Add(`(?P<ts>[0-9]+)-?(x)?`, extract)
		f.Add(`()(?P<é>.)(?P<ts>.?)`, extract)
	}
	f.Fuzz(func(t *testing.T, pattern, extract string) {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return
		}
		const mark = "\x00"
		references := strings.Count(extract, mark)
		for _, m := range reference.FindAllStringSubmatch(extract, -1) {
			if m[1]+m[2] != "" {
				references++
			}
		}
		match := slices.Repeat([]int{0, len(mark)}, re.NumSubexp()+1) // every group matches the mark
		expanded := re.ExpandString(nil, extract, mark, match)
		if got := strings.Count(string(expanded), mark); (got == references) != (checkExtract(extract, re) == nil) {
			t.Errorf("pattern %q, extract %q: %d of %d references replaced, error %v", pattern, extract, got, references, checkExtract(extract, re))
		}
	})
}
