// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"net/url"
	"strings"
	"unicode"
)

// Annotations and labels that state from which source code an image was built
// (https://github.com/opencontainers/image-spec/blob/main/annotations.md).
const (
	RevisionKey = "org.opencontainers.image.revision"
	SourceKey   = "org.opencontainers.image.source"
)

// Maximum lengths in bytes. A hash has at most 64, and a URL that is longer is no repository's.
const (
	maxRevision = 128
	maxSource   = 256
)

// Origin is the source code that an image states to be built from. Both texts may be empty. They
// are printable and bounded, but not verified.
type Origin struct {
	// Revision is the revision of the source code, such as a commit.
	Revision string
	// Source is the URL of the source code.
	Source string
}

// OriginOf returns what the annotations or labels of an image state. Unprintable characters are
// removed. A text that is too long is ignored, because a part of it would name something else.
func OriginOf(stated map[string]string) Origin {
	return Origin{Revision: printable(stated[RevisionKey], maxRevision), Source: withoutPassword(printable(stated[SourceKey], maxSource))}
}

// Or returns o if it states anything, or else other. Both texts are of the same part of an image: a
// label may be inherited from a base image, and would not match an annotation.
func (o Origin) Or(other Origin) Origin {
	if o == (Origin{}) {
		return other
	}
	return o
}

// printable returns a text without unprintable characters, or "" if it is longer than limit bytes.
func printable(text string, limit int) string {
	if len(text) > 2*limit {
		return ""
	}
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(text, "")))
	if len(text) > limit {
		return ""
	}
	return text
}

// withoutPassword removes credentials from a URL: builds may state the URL that they cloned from.
func withoutPassword(source string) string {
	parsed, err := url.Parse(source)
	switch {
	case err != nil && strings.Contains(source, "://"):
		return ""
	case err != nil || parsed.User == nil:
		return source
	}
	parsed.User = nil
	return parsed.String()
}
