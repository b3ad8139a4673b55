// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"fmt"
	"strings"
)

// versions is the order of a semver policy: precedence, within a range.
type versions struct {
	plain[version]
	accepted versionRange
}

func (versions) read(key string, v *version) string { return parseVersion(key, v) }

func (versions) compare(a, b *version) int { return compareVersions(a, b, toPrerelease) }

func (o versions) admits(v *version) bool { return o.accepted.contains(v) }

func (versions) unreadable() Cause { return CauseNoVersion }

func (versions) better() string { return "is a higher version than" }

func (o versions) refusal(v *version) (Cause, string) {
	if v.prerelease != "" && !o.accepted.takesPrereleases() {
		return CausePrerelease, fmt.Sprintf("is a prerelease, and the range %q takes none "+
			"(a range takes them where a version in it has one, as in \">=1.0.0-0\")", o.accepted.text)
	}
	return CauseRange, fmt.Sprintf("is outside the range %q: it is not %s", o.accepted.text, strings.Join(o.accepted.unmet(v), ", nor "))
}
