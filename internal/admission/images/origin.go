// SPDX-License-Identifier: Apache-2.0

package images

import (
	"net/url"
	"strings"
	"unicode"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
)

// Annotations and labels that state from which source code an image was built
// (https://github.com/opencontainers/image-spec/blob/main/annotations.md).
const (
	revisionKey = "org.opencontainers.image.revision"
	sourceKey   = "org.opencontainers.image.source"
)

// Maximum lengths in bytes. A hash has at most 64, and a URL that is longer is no repository's.
const (
	maxRevision = 128
	maxSource   = 256
)

// originOf returns what the annotations or labels of an image state. Unprintable characters are
// removed. A text that is too long is ignored, because a part of it would name something else.
func originOf(stated map[string]string) admission.Origin {
	return admission.Origin{
		Revision: printable(stated[revisionKey], maxRevision),
		Source:   withoutPassword(printable(stated[sourceKey], maxSource)),
	}
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
