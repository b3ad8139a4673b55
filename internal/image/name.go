// SPDX-License-Identifier: Apache-2.0

// Package image parses the image names and references of the API. A name includes the scheme of its
// registry, so that neither can be used without the other.
package image

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Name is the parsed name of an image repository with the scheme of its registry, HTTP or HTTPS.
// The zero value is invalid.
type Name struct {
	spelling string
	repo     name.Repository
}

// Parse parses the name of an image repository, which has no scheme, tag or digest. insecure allows
// plain HTTP to its registry. Errors contain the fix.
func Parse(s string, insecure bool) (Name, error) {
	if err := checkShape(s); err != nil {
		return Name{}, err
	}
	var opts []name.Option
	if insecure {
		opts = append(opts, name.Insecure)
	}
	repo, err := name.NewRepository(s, opts...)
	if err != nil && strings.ToLower(s) != s {
		return Name{}, fmt.Errorf("invalid image %q: it must be in lower case, write %q", s, strings.ToLower(s))
	}
	if err != nil {
		return Name{}, fmt.Errorf("invalid image %q: %w", s, err)
	}
	return Name{spelling: s, repo: repo}, nil
}

// checkShape returns helpful errors for common mistakes.
func checkShape(s string) error {
	if s == "" {
		return fmt.Errorf("invalid image %q: it must not be empty, set spec.image", s)
	}
	if strings.TrimSpace(s) != s {
		return fmt.Errorf("invalid image %q: it must not have blanks, remove those at its ends", s)
	}
	if strings.HasSuffix(s, "/") {
		return fmt.Errorf("invalid image %q: it must not end in a slash, remove the last %q", s, "/")
	}
	if scheme, _, found := strings.Cut(s, "://"); found {
		return fmt.Errorf("invalid image %q: it must not have a scheme, remove %q", s, scheme+"://")
	}
	if _, digest, found := strings.Cut(s, "@"); found {
		return fmt.Errorf("invalid image %q: it must not have a digest, remove %q", s, "@"+digest)
	}
	if _, tag := cutTag(s); tag != "" && strings.Contains(s, "/") {
		return fmt.Errorf("invalid image %q: it must not have a tag, remove %q", s, ":"+tag)
	}
	return nil
}

// cutTag splits s into the name and the tag, which may be empty. A colon before the last slash
// belongs to the port of the registry.
func cutTag(s string) (string, string) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || colon < strings.LastIndexByte(s, '/') {
		return s, ""
	}
	return s[:colon], s[colon+1:]
}

// IsZero reports whether n is the zero value.
func (n Name) IsZero() bool { return n.spelling == "" }

// String returns the name as it was written.
func (n Name) String() string { return n.spelling }

// Canonical returns the full name, such as "index.docker.io/library/alpine" for "alpine".
func (n Name) Canonical() string { return n.repo.Name() }

// Host returns the host of the registry, with the port if there is one.
func (n Name) Host() string { return n.repo.RegistryStr() }

// Repository returns the name for the registry client.
func (n Name) Repository() name.Repository { return n.repo }
