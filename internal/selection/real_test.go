// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// TestLatestOfRealLists has its expectations from grep and sort: the command in
// each case, after cut -f1 and with LC_ALL=C, prints the tag that is wanted.
func TestLatestOfRealLists(t *testing.T) {
	tests := []struct {
		reason  string
		image   string
		choice  v1.ImagePolicyChoice
		filter  *v1.TagFilter
		command string
		want    string
	}{
		{
			reason:  "a lower bound selects the highest release and none of its variants",
			image:   "node",
			choice:  semVer(">=18.0.0"),
			command: `grep -E '^[0-9]+\.[0-9]+\.[0-9]+$' | sort -V | tail -1`,
			want:    "26.7.0",
		},
		{
			reason:  "a variant is selected by its pattern, and compared by its version",
			image:   "node",
			choice:  semVer(">=18.0.0"),
			filter:  filtered(`^(?P<version>[0-9.]+)-alpine$`, "$version"),
			command: `grep -E '^[0-9]+\.[0-9]+\.[0-9]+-alpine$' | sort -V | tail -1`,
			want:    "26.7.0-alpine",
		},
		{
			reason:  "variants with a version of their own have equal keys, and the greater tag of them wins",
			image:   "golang",
			choice:  semVer("*"),
			filter:  filtered(`^(?P<version>[0-9]+\.[0-9]+\.[0-9]+)-alpine[0-9.]+$`, "$version"),
			command: `grep -E '^1\.[0-9]+\.[0-9]+-alpine[0-9.]+$' | sort -V | tail -1`,
			want:    "1.27.0-alpine3.24",
		},
		{
			reason:  "two numbers become a version when a third is added",
			image:   "postgres",
			choice:  semVer(">=10.0.0"),
			filter:  filtered(`^(?P<version>[0-9]+\.[0-9]+)-alpine$`, "${version}.0"),
			command: `grep -E '^[0-9]+\.[0-9]+-alpine$' | sort -t. -k1,1n -k2,2n | tail -1`,
			want:    "18.6-alpine",
		},
		{
			reason:  "of tags with and without a v, both of one version, the greater one in bytes wins",
			image:   "traefik",
			choice:  semVer("1.7.x"),
			command: `grep -E '^v?1\.7\.[0-9]+$' | sort -V | tail -1`,
			want:    "v1.7.34",
		},
		{
			reason:  "release candidates are considered where the range has a prerelease",
			image:   "rabbitmq",
			choice:  semVer(">=4.3.0-0 <4.3.0"),
			filter:  filtered(`^[0-9.]+-(alpha|beta|rc)\.[0-9]+$`, ""),
			command: `grep -E '^4\.3\.0-(alpha|beta|rc)\.[0-9]+$' | sort -V | tail -1`,
			want:    "4.3.0-rc.1",
		},
		{
			reason:  "texts go by bytes",
			image:   "debian",
			choice:  alphabetical("asc"),
			command: `sort | tail -1`,
			want:    "wheezy-slim",
		},
		{
			reason:  "images of one day are told apart by the whole tag",
			image:   "debian",
			choice:  numerical("asc"),
			filter:  filtered(`-(?P<date>[0-9]{8})-slim$`, "$date"),
			command: `grep -E -- '-[0-9]{8}-slim$' | sed -E 's/.*-([0-9]{8})-slim/\1 &/' | sort | tail -1`,
			want:    "unstable-20260803-slim",
		},
		{
			reason:  "a pattern that is not anchored matches anywhere",
			image:   "python",
			choice:  semVer("~3.12.0-0"),
			filter:  filtered(`^3\.[0-9]+\.[0-9]+-slim-bookworm`, ""),
			command: `grep -E '^3\.12\.[0-9]+-slim-bookworm' | sort -V | tail -1`,
			want:    "3.12.14-slim-bookworm",
		},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			got, _ := compiled(t, tt.choice, tt.filter).Select(realTags(t, tt.image))
			if diff := cmp.Diff(tt.want, got.Tag); diff != "" {
				t.Errorf("latest of %s by %s; want what prints %s (-want +got):\n%s",
					tt.image, describe(tt.choice, tt.filter), tt.command, diff)
			}
		})
	}
}
