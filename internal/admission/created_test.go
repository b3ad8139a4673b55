// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

const (
	valid     = "2026-01-01T00:00:00Z"
	earlier   = "2025-01-01T00:00:00Z"
	validUnix = 1767225600 // the time of valid
)

// TestCreated_ParsesTimeFormats covers formats that are easily rejected: with a space, another
// offset or a comma.
func TestCreated_ParsesTimeFormats(t *testing.T) {
	for _, tt := range []struct{ text, reason string }{
		{valid, "RFC 3339"},
		{"2026-01-01T00:00:00.5Z", "a fraction is cut off"},
		{"2026-01-01 00:00:00+00:00", "section 5.6 allows a space: date --rfc-3339=seconds"},
		{"2026-01-01 00:00:00.336017516+00:00", "Tecnativa/doodba#481"},
		{"2026-01-01t00:00:00z", "section 5.6 allows lower case"},
		{"2026-01-01 00:00:00z", "both"},
		{"2026-01-01T02:00:00+02:00", "another zone"},
		{"2025-12-31T18:30:00-05:30", "a zone with half an hour"},
		{"2026-01-01T00:00:00-00:00", "the unknown offset of RFC 3339"},
		{"2026-01-01T02:00:00+0200", "date --iso-8601=seconds"},
		{"2026-01-01T02:00:00,034850873+0200", "date --iso-8601=ns, with a comma as in containers/build#325"},
		{"2026-01-01T02:00:00+02", "hours alone, as PostgreSQL writes them"},
		{"2026-01-01 02:00:00 +0200", "git log --format=%ci"},
		{"2026-01-01 02:00:00 +02:00", "the same with a colon"},
		{"2026-01-01 02:00:00.309694324 +0200 CEST", "time.Time.String of Go, as in containers/podman#7980"},
		{"2026-01-01 00:00:00 +0000 UTC", "the same in UTC"},
		{"2026-01-01 00:00:00 UTC", "Time#to_s of Ruby"},
		{" 2026-01-01T00:00:00Z\n", "surrounding white space"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			for source, stated := range map[CreatedBy]Statements{
				CreatedByAnnotation: {Annotations: []string{tt.text}}, CreatedByConfig: {Config: tt.text}, CreatedByLabel: {Label: tt.text},
			} {
				if at, by := stated.Created(); at != validUnix || by != source {
					t.Errorf("%q: got %s according to %s", tt.text, time.Unix(at, 0).UTC(), by)
				}
			}
		})
	}
}

// TestCreated_IgnoresMeaninglessTimes covers times that are the same in every image or ambiguous.
func TestCreated_IgnoresMeaninglessTimes(t *testing.T) {
	for _, tt := range []struct{ text, reason string }{
		{"", "empty"},
		{"0001-01-01T00:00:00Z", "the zero time of Go"},
		{"1970-01-01T00:00:00Z", "Bazel, ko, Jib"},
		{"1970-01-01T00:00:01Z", "Nix"},
		{"1969-12-31T16:00:00-08:00", "the same in another zone"},
		{"1980-01-01T00:00:01Z", "Cloud Native Buildpacks"},
		{"1980-01-01T12:00:00-12:00", "the last of the zones"},
		{"1980-01-02T00:00:00Z", "the last second"},
		{"20180804", "fluxcd/flux#2075: no time of day"},
		{"2026-01-01", "date --rfc-3339=date: no time of day"},
		{"2026-01-01T00:00:00", "no zone"},
		{"2026-01-01 00:00:00 CEST", "an ambiguous zone"},
		{"01/02/2026 00:00:00Z", "an ambiguous date"},
		{"1767225600", "a number without a unit"},
		{"2026-13-01T00:00:00Z", "no month"},
		{"2026-01-01T24:00:00Z", "no hour"},
		{"yesterday", "no time"},
		{"2026-01-01T00:00:00Z\x1b[31m", "more than a time"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			stated := Statements{Annotations: []string{tt.text}, Config: tt.text, Label: tt.text}
			if at, by := stated.Created(); at != CreatedUnread || by != CreatedByUnknown {
				t.Errorf("%q: got %s according to %s", tt.text, time.Unix(at, 0).UTC(), by)
			}
			stated.Label = valid
			if at, by := stated.Created(); at != validUnix || by != CreatedByLabel {
				t.Errorf("%q: the next source is not used: got %d according to %s", tt.text, at, by)
			}
		})
	}
	if at, _ := (Statements{Config: "1980-01-02T00:00:01Z"}).Created(); at != lastFixed+1 {
		t.Errorf("the first valid second: got %d", at)
	}
}

// TestCreated_PrefersSourcesInOrder covers the precedence of sources.
func TestCreated_PrefersSourcesInOrder(t *testing.T) {
	for _, tt := range []struct {
		reason string
		stated Statements
		want   CreatedBy
	}{
		{"annotations precede all other sources", Statements{Annotations: []string{valid}, Config: earlier, Label: earlier}, CreatedByAnnotation},
		{"the first annotation precedes the others", Statements{Annotations: []string{valid, earlier}}, CreatedByAnnotation},
		{"an invalid annotation is skipped", Statements{Annotations: []string{"", "1970-01-01T00:00:00Z", valid, earlier}}, CreatedByAnnotation},
		{"the label may be inherited from a base image", Statements{Config: valid, Label: earlier}, CreatedByConfig},
		{"even if it is later", Statements{Config: valid, Label: "2027-01-01T00:00:00Z"}, CreatedByConfig},
		{"the label counts if the configuration has a fixed time", Statements{Config: "1980-01-01T00:00:01Z", Label: valid}, CreatedByLabel},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			if at, by := tt.stated.Created(); at != validUnix || by != tt.want {
				t.Errorf("got %s according to %s, want %s", time.Unix(at, 0).UTC(), by, tt.want)
			}
		})
	}
}

// TestCreationTime_FallsBackToFirstSeen covers images without a time, and those of the first scan,
// which must not rank first because they were seen last.
func TestCreationTime_FallsBackToFirstSeen(t *testing.T) {
	withoutTime := ImageInfo{Digest: "d", DigestSince: firstScan + 9, Created: CreatedUnstated}
	stated := ImageInfo{Digest: "d", Created: validUnix, CreatedBy: CreatedByLabel}
	changed := withoutTime
	changed.DigestChanged = true
	for _, tt := range []struct {
		reason    string
		candidate Candidate
		want      int64
	}{
		{"the time that the image states", Candidate{FirstSeen: firstScan + 5, Since: firstScan, Info: stated}, validUnix},
		{"otherwise the time at which a scan found the tag", Candidate{FirstSeen: firstScan + 5, Since: firstScan, Info: withoutTime}, firstScan + 5},
		{"or the time at which its digest changed", Candidate{FirstSeen: firstScan, Since: firstScan, Info: changed}, firstScan + 9},
		{"the age of a tag of the first scan is unknown", Candidate{FirstSeen: firstScan, Since: firstScan, Info: withoutTime}, 0},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			NewWithT(t).Expect(tt.candidate.CreationTime()).To(Equal(tt.want))
		})
	}
}

// FuzzCreated checks that a parsed time is never one of the fixed times of builders.
func FuzzCreated(f *testing.F) {
	f.Add(valid, earlier, "1980-01-01T00:00:01Z")
	f.Add("2026-01-01 00:00:00 +0200 CEST", "", "9999-12-31T23:59:59+23:59")
	f.Fuzz(func(t *testing.T, annotation, config, label string) {
		at, by := Statements{Annotations: []string{annotation}, Config: config, Label: label}.Created()
		if (by == CreatedByUnknown) != (at == CreatedUnread) || at != CreatedUnread && at <= lastFixed || by > LastCreatedBy {
			t.Errorf("got %d according to %s", at, by)
		}
	})
}
