// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

const (
	proper  = "2026-01-01T00:00:00Z"
	earlier = "2025-01-01T00:00:00Z"
	unix    = 1767225600 // evaluator proper
)

// TestCreated_ParsesTimeFormats stands for times that are ignored for the way in
// which they are written: with a blank, with another offset, with a comma.
func TestCreated_ParsesTimeFormats(t *testing.T) {
	for _, tt := range []struct{ text, reason string }{
		{proper, "RFC 3339"},
		{"2026-01-01T00:00:00.5Z", "a fraction is cut off"},
		{"2026-01-01 00:00:00+00:00", "section 5.6 allows a blank: date --rfc-3339=seconds"},
		{"2026-01-01 00:00:00.336017516+00:00", "Tecnativa/doodba#481"},
		{"2026-01-01t00:00:00z", "section 5.6 allows lower case"},
		{"2026-01-01 00:00:00z", "both"},
		{"2026-01-01T02:00:00+02:00", "another zone"},
		{"2025-12-31T18:30:00-05:30", "one with half an hour"},
		{"2026-01-01T00:00:00-00:00", "an offset that is not known, which RFC 3339 writes so"},
		{"2026-01-01T02:00:00+0200", "date --iso-8601=seconds"},
		{"2026-01-01T02:00:00,034850873+0200", "date --iso-8601=ns, with a comma as in containers/build#325"},
		{"2026-01-01T02:00:00+02", "hours alone, as PostgreSQL writes them"},
		{"2026-01-01 02:00:00 +0200", "git log --format=%ci"},
		{"2026-01-01 02:00:00 +02:00", "the same with a colon"},
		{"2026-01-01 02:00:00.309694324 +0200 CEST", "time.Time.String of Go, as in containers/podman#7980"},
		{"2026-01-01 00:00:00 +0000 UTC", "the same in UTC"},
		{"2026-01-01 00:00:00 UTC", "Time#to_s of Ruby"},
		{" 2026-01-01T00:00:00Z\n", "what a shell left around it"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			for source, stated := range map[CreatedBy]Statements{
				CreatedByAnnotation: {Annotations: []string{tt.text}}, CreatedByConfig: {Config: tt.text}, CreatedByLabel: {Label: tt.text},
			} {
				if at, by := stated.Created(); at != unix || by != source {
					t.Errorf("%q: got %s according to %s", tt.text, time.Unix(at, 0).UTC(), by)
				}
			}
		})
	}
}

// TestCreated_IgnoresMeaninglessTimes stands for times that are believed although they
// are the same in every image, or that may mean several moments.
func TestCreated_IgnoresMeaninglessTimes(t *testing.T) {
	for _, tt := range []struct{ text, reason string }{
		{"", "nothing is stated"},
		{"0001-01-01T00:00:00Z", "the zero time of Go"},
		{"1970-01-01T00:00:00Z", "Bazel, ko, Jib"},
		{"1970-01-01T00:00:01Z", "Nix"},
		{"1969-12-31T16:00:00-08:00", "the same in another zone"},
		{"1980-01-01T00:00:01Z", "Cloud Native Buildpacks"},
		{"1980-01-01T12:00:00-12:00", "the last of the zones"},
		{"1980-01-02T00:00:00Z", "the last second"},
		{"20180804", "fluxcd/flux#2075: no time of day"},
		{"2026-01-01", "date --rfc-3339=date: neither"},
		{"2026-01-01T00:00:00", "no zone"},
		{"2026-01-01 00:00:00 CEST", "a zone of which there may be several"},
		{"01/02/2026 00:00:00Z", "January or February"},
		{"1767225600", "a number of seconds, or of something else"},
		{"2026-13-01T00:00:00Z", "no month"},
		{"2026-01-01T24:00:00Z", "no hour"},
		{"yesterday", "no time"},
		{"2026-01-01T00:00:00Z\x1b[31m", "more than a time"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			stated := Statements{Annotations: []string{tt.text}, Config: tt.text, Label: tt.text}
			if at, by := stated.Created(); at != CreatedUnread || by != CreatedByNothing {
				t.Errorf("%q: got %s according to %s", tt.text, time.Unix(at, 0).UTC(), by)
			}
			stated.Label = proper
			if at, by := stated.Created(); at != unix || by != CreatedByLabel {
				t.Errorf("%q: the next source is not asked: got %d according to %s", tt.text, at, by)
			}
		})
	}
	if at, _ := (Statements{Config: "1980-01-02T00:00:01Z"}).Created(); at != lastFixed+1 {
		t.Errorf("the first second that counts: got %d", at)
	}
}

// TestCreated_PrefersSourcesInOrder pins which of two statements is believed.
func TestCreated_PrefersSourcesInOrder(t *testing.T) {
	for _, tt := range []struct {
		reason string
		stated Statements
		want   CreatedBy
	}{
		{"annotations come before all others", Statements{Annotations: []string{proper}, Config: earlier, Label: earlier}, CreatedByAnnotation},
		{"the first annotation comes first", Statements{Annotations: []string{proper, earlier}}, CreatedByAnnotation},
		{"unless it states nothing", Statements{Annotations: []string{"", "1970-01-01T00:00:00Z", proper, earlier}}, CreatedByAnnotation},
		{"the label may be that of a base image", Statements{Config: proper, Label: earlier}, CreatedByConfig},
		{"also where it is later", Statements{Config: proper, Label: "2027-01-01T00:00:00Z"}, CreatedByConfig},
		{"it counts where the build states nothing", Statements{Config: "1980-01-01T00:00:01Z", Label: proper}, CreatedByLabel},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			if at, by := tt.stated.Created(); at != unix || by != tt.want {
				t.Errorf("got %s according to %s, want %s", time.Unix(at, 0).UTC(), by, tt.want)
			}
		})
	}
}

// TestCreationTime_FallsBackToFirstSeen stands for images that can't be ordered, and for
// those of the first scan that would rank first because they are seen last.
func TestCreationTime_FallsBackToFirstSeen(t *testing.T) {
	unsaid := ImageInfo{Digest: "d", DigestSince: then + 9, Created: CreatedUnsaid}
	stated := ImageInfo{Digest: "d", Created: unix, CreatedBy: CreatedByLabel}
	moved := unsaid
	moved.DigestChanged = true
	for _, tt := range []struct {
		reason    string
		candidate Candidate
		want      int64
	}{
		{"what the image states", Candidate{FirstSeen: then + 5, Since: then, Info: stated}, unix},
		{"or else when a scan found the tag", Candidate{FirstSeen: then + 5, Since: then, Info: unsaid}, then + 5},
		{"or when the tag had another image", Candidate{FirstSeen: then, Since: then, Info: moved}, then + 9},
		{"a tag of the first scan is older than that", Candidate{FirstSeen: then, Since: then, Info: unsaid}, 0},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			NewWithT(t).Expect(tt.candidate.CreationTime()).To(Equal(tt.want))
		})
	}
}

// FuzzCreated: whatever is stated, the time is none or after those that builders write.
func FuzzCreated(f *testing.F) {
	f.Add(proper, earlier, "1980-01-01T00:00:01Z")
	f.Add("2026-01-01 00:00:00 +0200 CEST", "", "9999-12-31T23:59:59+23:59")
	f.Fuzz(func(t *testing.T, annotation, config, label string) {
		at, by := Statements{Annotations: []string{annotation}, Config: config, Label: label}.Created()
		if (by == CreatedByNothing) != (at == CreatedUnread) || at != CreatedUnread && at <= lastFixed || by > LastCreatedBy {
			t.Errorf("got %d according to %s", at, by)
		}
	})
}
