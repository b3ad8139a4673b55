// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// reference finds in a filterTags.extract what regexp's Expand takes for a dollar sign
// or for a group: "$$", "${1}", "${name}", "$1" and "$name". Any other "$" stands for itself.
var reference = regexp.MustCompile(`\$(?:\$|\{([\p{L}\p{Nd}_]+)\}|([\p{L}\p{Nd}_]+))`)

// checkExtract fails where a group is not there. Expand puts nothing in its place, so
// every tag would have the same key.
func checkExtract(text string, pattern *regexp.Regexp) error {
	for _, m := range reference.FindAllStringSubmatch(text, -1) {
		if name := m[1] + m[2]; name != "" && groupIndex(pattern, name) < 0 {
			return unknownGroup(text, name, pattern)
		}
	}
	return nil
}

// groupIndex returns the index of the group that Expand takes a name for, and
// -1 where the pattern has no such group.
func groupIndex(pattern *regexp.Regexp, name string) int {
	// Expand takes up to nine digits that no zero leads for a number, even
	// where a group has them for a name.
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

// knownPrefix returns the longest beginning of a name that is a group, or
// nothing: Expand takes as many letters for a name as it can, so that "$1x"
// means a group "1x".
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
