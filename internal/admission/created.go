// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"strings"
	"time"
)

// CreatedKey is the annotation, and the label, in which an image states when it was built
// (https://github.com/opencontainers/image-spec/blob/main/annotations.md).
const CreatedKey = "org.opencontainers.image.created"

// CreatedBy is the source of a time of creation.
type CreatedBy uint8

// The sources, in the order in which they are believed. Stores hold their numbers.
const (
	// CreatedByNothing is the source of a time that is not known.
	CreatedByNothing CreatedBy = iota
	// CreatedByAnnotation is the annotation CreatedKey of an index, of the descriptor of its
	// first image, or of a manifest.
	CreatedByAnnotation
	// CreatedByConfig is the field created of the configuration.
	CreatedByConfig
	// CreatedByLabel is the label CreatedKey in the configuration.
	CreatedByLabel

	// LastCreatedBy is the last of the sources.
	LastCreatedBy = CreatedByLabel
)

// String returns the source as what follows "according to ".
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

// Statements are what the parts of an image state about its time of creation, as they
// state it.
type Statements struct {
	// Annotations are those of the index, the descriptor and the manifest, in that order.
	Annotations []string
	// Config is the field created of the configuration.
	Config string
	// Label is that of the configuration.
	Label string
}

// Created returns the time of creation in seconds since the epoch, and its source:
// CreatedUnread and CreatedByNothing where no statement has a meaning.
//
// An annotation comes first: it belongs to this image alone, and is there without another
// request. The configuration is next, which every build writes. Its label comes last,
// although conversion.md of the image specification prefers labels to the field created:
// that is about the annotations of a container. An image inherits the labels of its base,
// and with them the time at which that was built.
func (s Statements) Created() (int64, CreatedBy) {
	for by, texts := range [][]string{CreatedByAnnotation: s.Annotations, CreatedByConfig: {s.Config}, CreatedByLabel: {s.Label}} {
		for _, text := range texts {
			if at := parseCreated(text); at != CreatedUnread {
				return at, CreatedBy(by)
			}
		}
	}
	return CreatedUnread, CreatedByNothing
}

// CreationTime returns the time by which the image is ordered among others, in seconds since
// the epoch. Where the image states none, that is when its tag was first seen. A tag of the
// first scan is older than that by an unknown time: it has the time zero, and ranks behind all
// others.
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

// lastFixed is the last second that builders write into every image, to make builds
// reproducible: 1970-01-01 (Bazel, Jib, ko, Nix), 1980-01-01T00:00:01Z (Cloud Native
// Buildpacks), and a day more for zones (akuity/kargo#529,
// argoproj-labs/argocd-image-updater#311, hyness/spring-cloud-config-server#86).
var lastFixed = time.Date(1980, time.January, 2, 0, 0, 0, 0, time.UTC).Unix()

// createdLayouts are the spellings of a time that are read, beside RFC 3339. Each is seen in
// public and has one meaning. Those without a time of day (fluxcd/flux#2075) or without a
// zone have several, and state nothing.
var createdLayouts = []string{
	time.RFC3339,                    // and with a blank in place of the T: Tecnativa/doodba#481
	"2006-01-02T15:04:05Z0700",      // date --iso-8601, also with a comma: containers/build#325
	"2006-01-02T15:04:05Z07",        // ISO 8601 allows hours alone
	"2006-01-02T15:04:05 Z0700",     // git log --format=%ci
	"2006-01-02T15:04:05 Z07:00",    // the same with a colon
	"2006-01-02T15:04:05 -0700 MST", // time.Time.String of Go: containers/podman#7980
	"2006-01-02T15:04:05 UTC",       // Time#to_s of Ruby
}

// parseCreated returns a time in seconds since the epoch, CreatedUnread for a text that is
// no time or has no meaning. RFC 3339 section 5.6 lets a blank separate date and time, and
// T and Z be in lower case.
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
