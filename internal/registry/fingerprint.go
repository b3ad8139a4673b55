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

package registry

import (
	"crypto/sha256"
	"strings"
)

// Fingerprint stands for the pages of a tag list as a registry sent them: a hash
// of each. Lists with the same fingerprint have the same tags. The empty one is
// that of no list.
type Fingerprint string

// add returns the fingerprint with a page more.
func (f Fingerprint) add(p page) Fingerprint {
	h := sha256.New()
	h.Write(p.body)
	if p.next != nil {
		h.Write([]byte("\x00" + p.next.String())) // no JSON has that byte
	}
	return f + Fingerprint(h.Sum(nil))
}

// begins reports whether f is how whole begins.
func (f Fingerprint) begins(whole Fingerprint) bool {
	return strings.HasPrefix(string(whole), string(f))
}
