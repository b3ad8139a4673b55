// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// reference matches in filterTags.extract what regexp's Expand interprets as a dollar sign or a
// group: "$$", "${1}", "${name}", "$1" and "$name". Any other "$" is literal.
var reference = regexp.MustCompile(`\$(?:\$|\{([\p{L}\p{Nd}_]+)\}|([\p{L}\p{Nd}_]+))`)

// checkExtract returns an error if a group does not exist. Expand replaces it by nothing, which
// would give every tag the same key.
func checkExtract(text string, pattern *regexp.Regexp) error {
	for _, m := range reference.FindAllStringSubmatch(text, -1) {
		if name := m[1] + m[2]; name != "" && groupIndex(pattern, name) < 0 {
			return unknownGroup(text, name, pattern)
		}
	}
	return nil
}

// groupIndex returns the index of the group to which Expand resolves a name, or -1.
func groupIndex(pattern *regexp.Regexp, name string) int {
	// Expand interprets up to nine digits without a leading zero as a number, even if a group has
	// that name.
	const maxDigits = 9
	number, err := strconv.Atoi(name)
	if err != nil || len(name) > maxDigits || name[0] == '0' && name != "0" {
		return pattern.SubexpIndex(name)
	}
	if number > pattern.NumSubexp() {
		return -1
	}
	return number
}

func unknownGroup(text, name string, pattern *regexp.Regexp) error {
	fix := fmt.Sprintf("refer to a group of the pattern (%s), or add that group to it", strings.Join(groupNames(pattern), ", "))
	if known := knownPrefix(pattern, name); known != "" {
		fix = fmt.Sprintf("write \"${%s}%s\" where %q follows the group %q", known, name[len(known):], name[len(known):], known)
	}
	return &InvalidError{Field: fieldExtract, Value: text,
		Problem: fmt.Sprintf("spec.filterTags.pattern %q has no group %q: %s", pattern, name, fix)}
}

// knownPrefix returns the longest prefix of a name that is a group, or "". Expand uses the longest
// possible name, so "$1x" means a group "1x".
func knownPrefix(pattern *regexp.Regexp, name string) string {
	for end := len(name) - 1; end > 0; end-- {
		if groupIndex(pattern, name[:end]) >= 0 {
			return name[:end]
		}
	}
	return ""
}

// groupNames lists what an extract can refer to: "$0", "$1", "$name" …
func groupNames(pattern *regexp.Regexp) []string {
	var names []string
	for i, name := range pattern.SubexpNames() {
		if name == "" {
			name = strconv.Itoa(i)
		}
		names = append(names, "$"+name)
	}
	return names
}
