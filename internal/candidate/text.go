/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

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
