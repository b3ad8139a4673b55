// SPDX-License-Identifier: Apache-2.0

package candidate

import "strings"

// maxText is how many bytes of what somebody else says are kept.
const maxText = 768

// short returns a text without what exceeds maxText.
func short(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

// maxListed is how many items of a list people are told.
const maxListed = 8

// list returns the items, of which there is one at least, as people write them, such
// as "a, b and c".
func list(items []string) string {
	switch {
	case len(items) == 1:
		return items[0]
	case len(items) > maxListed:
		items = append(items[:maxListed:maxListed], "others")
	}
	return strings.Join(items[:len(items)-1], ", ") + " and " + items[len(items)-1]
}
