// SPDX-License-Identifier: Apache-2.0

package selection

import "strings"

// byText compares keys by their bytes, for alphabetical policies.
type byText struct {
	acceptAll[string]
	plainKey[string]
	direction direction
}

func (byText) read(key string, value *string) rejection {
	*value = key
	return rejection{}
}

func (t byText) compare(a, b *string) int { return t.direction.of(strings.Compare(*a, *b)) }

func (t byText) better() string { return t.direction.text("comes after", "comes before") }
