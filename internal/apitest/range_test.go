// SPDX-License-Identifier: Apache-2.0

package apitest

import (
	"strconv"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestSemVerRangeAdmission compares admission with the library that gives a
// range its meaning: what the one can't parse, the other must not admit, and
// the other way round.
func TestSemVerRangeAdmission(t *testing.T) {
	ranges := []string{
		"*", "x", "1", "1.2", "1.2.3", "v1.2.3", "1.x", "1.2.x", "1.2.X", "1.*", "=1.2.3", "!=1.2.3", ">1", "<1", ">=1", "=>1", "<=1", "=<1",
		"~1.2", "~>1.2", "^1.2.3", "^0.0.3", "^1.x", "> 1.2", " ^1.2.3 ", "^1.2.3-0", ">=1.2.3-alpha.1", "1.2.3+build.5", ">=1.0.0-rc1+5",
		">=1.0.0 <2.0.0", ">=1.0.0, <2.0.0", ">=1.0.0,<2.0.0", ">=1.0.0 , <2.0.0", ">=1 <2 !=1.5.0", "1.2 - 1.4", "1.2.3 - 1.4.5-rc.1", "1.2 - 1.4 || 2.x",
		"^1 || ^2", "^1||^2", "^1.0.0 || >=3.0.0 <4.0.0", "1.0.0 - 2.0.0 >1.5.0", ">=1.0.0 1.2 - 1.4", "2024.1", "020.1", "1-0", "1.2.3\t<2", ">=1.0.0, 1.2 - 1.4", "1.2 - 1.4, !=1.3", "1.2 - 1.4 1.x",

		"", " ", "||", "^1 ||", "|| ^1", "^1 | ^2", "latest", "1.2.3.4", "1..2", ".1", "1.", "^^1", "> =1", ">==1", "==1", "><1", "1.2.3-", "1.2.3+", "1.2.3-a..b",
		"1.2 -1.4 -", "- 1.2", "1.2 - ", ">=1.0.0 AND <2.0.0", ">=1.0.0;<2.0.0", ">=1.0.0 &&  <2", "V1.2.3", "^a.b.c", "1,,2", ",1", "1,", "^1.2.3 foo", "(^1)", "xx", "1x", "x1", "**", "1.2*", ">=1.2 - 1.4", "1 - 2 - 3", "v", "1|2", "^1\\n",
	}
	for _, version := range versions {
		for _, text := range ranges {
			t.Run(version+"/"+strconv.Quote(text), func(t *testing.T) {
				err := createRange(t, version, text)
				_, invalid := semver.NewConstraint(text)
				want := admission{reason: "the library parses it"}
				if invalid != nil {
					want = admission{reason: invalid.Error(), rejected: []string{"spec.policy.semver.range", "range must be a semver range such as '^1.2.0'"}}
				}
				want.check(t, err)
			})
		}
	}
}

func TestLongSemVerRangeAdmission(t *testing.T) {
	longest := strings.Repeat("1.2.3||", 512/7) + "1"
	admission{reason: "the longest range is within the cost limit"}.check(t, createRange(t, "v1", longest))
	admission{reason: "the cost must be bounded", rejected: []string{"may not be more than 512 bytes"}}.
		check(t, createRange(t, "v1", longest+strings.Repeat(" ", 512)))
}

func createRange(t *testing.T, version, text string) error {
	spec := repository + "policy: {semver: {range: " + strconv.Quote(text) + "}}"
	return server.Create(t.Context(), newObject(t, version, "ImagePolicy", "range", spec), client.DryRunAll)
}
