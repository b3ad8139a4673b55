// SPDX-License-Identifier: Apache-2.0

package selection

import "strings"

// texts is the order of an alphabetical policy: the bytes of the key.
type texts struct {
	unbounded[string]
	plain[string]
	direction direction
}

func (texts) read(key string, value *string) rejection {
	*value = key
	return rejection{}
}

func (t texts) compare(a, b *string) int { return t.direction.of(strings.Compare(*a, *b)) }

func (t texts) better() string { return t.direction.text("comes after", "comes before") }
