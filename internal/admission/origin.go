// SPDX-License-Identifier: Apache-2.0

package admission

// Origin is the source code that an image states to be built from. Both texts may be empty. They
// are printable and bounded, but not verified.
type Origin struct {
	// Revision is the revision of the source code, such as a commit.
	Revision string
	// Source is the URL of the source code.
	Source string
}

// Or returns o if it states anything, or else other. Both texts are of the same part of an image: a
// label may be inherited from a base image, and would not match an annotation.
func (o Origin) Or(other Origin) Origin {
	if o == (Origin{}) {
		return other
	}
	return o
}
