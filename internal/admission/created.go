// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"strings"
	"time"
)

// CreatedKey is the annotation and label that state when an image was built
// (https://github.com/opencontainers/image-spec/blob/main/annotations.md).
const CreatedKey = "org.opencontainers.image.created"

// CreatedBy is the source of a creation time.
type CreatedBy uint8

// The sources in order of precedence. The store persists their numbers.
const (
	// CreatedByUnknown is the source of an unknown time.
	CreatedByUnknown CreatedBy = iota
	// CreatedByAnnotation is the annotation CreatedKey of an index, of the descriptor of its
	// first image, or of a manifest.
	CreatedByAnnotation
	// CreatedByConfig is the field "created" of the image configuration.
	CreatedByConfig
	// CreatedByLabel is the label CreatedKey in the image configuration.
	CreatedByLabel

	// LastCreatedBy is the source with the greatest number.
	LastCreatedBy = CreatedByLabel
)

// String returns the source as the text after "according to ".
func (b CreatedBy) String() string {
	switch b {
	case CreatedByAnnotation:
		return "its annotation " + CreatedKey
	case CreatedByConfig:
		return "its configuration"
	case CreatedByLabel:
		return "its label " + CreatedKey
	default:
		return "nothing"
	}
}

// Statements holds the creation times that the parts of an image state, unparsed.
type Statements struct {
	// Annotations holds those of the index, the descriptor and the manifest, in that order.
	Annotations []string
	// Config is the field "created" of the configuration.
	Config string
	// Label is the label in the configuration.
	Label string
}

// Created returns the creation time in seconds since the epoch and its source, or CreatedUnread
// and CreatedByUnknown if no statement is valid.
//
// Annotations take precedence: they belong to this image alone and need no further request. The
// configuration is next; every build writes it. Its label comes last, although conversion.md of the
// image specification prefers labels to the field "created" (for the annotations of a container):
// an image inherits the labels of its base image, including the base image's creation time.
func (s Statements) Created() (int64, CreatedBy) {
	for by, texts := range [][]string{CreatedByAnnotation: s.Annotations, CreatedByConfig: {s.Config}, CreatedByLabel: {s.Label}} {
		for _, text := range texts {
			if at := parseCreated(text); at != CreatedUnread {
				return at, CreatedBy(by)
			}
		}
	}
	return CreatedUnread, CreatedByUnknown
}

// CreationTime returns the time by which the image is ranked, in seconds since the epoch: the time
// that the image states, or else the time at which its tag was first seen. Without a stated time,
// tags of the first scan have the time zero and rank last, because their age is unknown.
func (c Candidate) CreationTime() int64 {
	switch {
	case c.Info.Created > 0:
		return c.Info.Created
	case c.Info.DigestChanged:
		return c.Info.DigestSince
	case c.FirstSeen > c.Since:
		return c.FirstSeen
	default:
		return 0
	}
}

// lastFixed is the last second of the fixed times that reproducible builds write into every image:
// 1970-01-01 (Bazel, Jib, ko, Nix), 1980-01-01T00:00:01Z (Cloud Native Buildpacks), and one more
// day for time zones (akuity/kargo#529, argoproj-labs/argocd-image-updater#311,
// hyness/spring-cloud-config-server#86).
var lastFixed = time.Date(1980, time.January, 2, 0, 0, 0, 0, time.UTC).Unix()

// createdLayouts lists the accepted time formats. Each is in public use and unambiguous. Formats
// without a time of day (fluxcd/flux#2075) or a zone are ambiguous and therefore ignored.
var createdLayouts = []string{
	time.RFC3339,                    // also with a space in place of the T: Tecnativa/doodba#481
	"2006-01-02T15:04:05Z0700",      // date --iso-8601, also with a comma: containers/build#325
	"2006-01-02T15:04:05Z07",        // ISO 8601 allows hours alone
	"2006-01-02T15:04:05 Z0700",     // git log --format=%ci
	"2006-01-02T15:04:05 Z07:00",    // the same with a colon
	"2006-01-02T15:04:05 -0700 MST", // time.Time.String of Go: containers/podman#7980
	"2006-01-02T15:04:05 UTC",       // Time#to_s of Ruby
}

// parseCreated returns a time in seconds since the epoch, or CreatedUnread if the text is not an
// unambiguous time or the time is a fixed one. RFC 3339 section 5.6 permits a space between date
// and time, and T and Z in lower case.
func parseCreated(text string) int64 {
	const date = len(time.DateOnly)
	text = strings.ToUpper(strings.TrimSpace(text))
	if len(text) > date && text[date] == ' ' {
		text = text[:date] + "T" + text[date+1:]
	}
	for _, layout := range createdLayouts {
		at, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if at.Unix() <= lastFixed {
			return CreatedUnread
		}
		return at.Unix()
	}
	return CreatedUnread
}
