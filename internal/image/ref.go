// SPDX-License-Identifier: Apache-2.0

package image

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// NewRef returns a reference. digest may be empty.
func NewRef(repository, tag, digest string) *v1.ImageRef {
	return &v1.ImageRef{Name: repository, Image: repository, Tag: tag, Digest: digest}
}

// ParseRef parses "name:tag" or "name:tag@digest", the format of the deprecated status fields. The
// name is not normalized. A missing tag is an error.
func ParseRef(s string) (*v1.ImageRef, error) {
	tagged, digest, hasDigest := strings.Cut(s, "@")
	repository, tag := cutTag(tagged)
	if tag == "" {
		return nil, fmt.Errorf("invalid image reference %q: it has no tag", s)
	}
	if _, err := name.NewTag(tagged); err != nil {
		return nil, fmt.Errorf("invalid image reference %q: %w", s, err)
	}
	if hasDigest {
		if _, err := name.NewDigest(repository + "@" + digest); err != nil {
			return nil, fmt.Errorf("invalid image reference %q: %w", s, err)
		}
	}
	return NewRef(repository, tag, digest), nil
}

// FormatRef returns "name:tag", the format of the deprecated status fields, and "" for nil.
func FormatRef(ref *v1.ImageRef) string {
	if ref == nil {
		return ""
	}
	return ref.Name + ":" + ref.Tag
}
