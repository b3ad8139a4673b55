// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

const (
	// APIVersion is the version of Result. Fields are added to it, and neither
	// renamed nor removed.
	APIVersion = "explain.image.toolkit.fluxcd.io/v1"
	// Kind is the kind of Result.
	Kind = "Explanation"
)

// Result is an explanation, as programs read it.
type Result struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`

	Policy     Policy     `json:"policy"`
	Repository Repository `json:"repository"`
	// Rule is the rule in words.
	Rule string `json:"rule"`
	// Gates are what the image of a candidate has to pass, left out where there are none.
	Gates *Gates `json:"gates,omitempty"`
	// Tags counts what was listed, and what became of it.
	Tags Tags `json:"tags"`

	// PassedOver are the candidates before the one that is selected, which do not
	// pass the gates, best first.
	PassedOver []Candidate `json:"passedOver,omitempty"`
	// Selected is the latest image, null where no tag is a candidate, or none passes
	// the gates.
	Selected *Candidate `json:"selected"`
	// RunnersUp are the candidates after it, best first, as many as were asked for.
	RunnersUp []Candidate `json:"runnersUp"`
	// Rejections are the reasons for which tags are no candidates.
	Rejections []Rejection `json:"rejections"`
	// Rejected are all tags that are no candidates, where they were asked for.
	Rejected []RejectedTag `json:"rejected,omitempty"`
	// Tag is the story of the tag that was asked about.
	Tag *TagExplanation `json:"tag,omitempty"`
	// Notes say what else there is to know, such as why the status differs.
	Notes []Note `json:"notes"`
}

// Policy is what is said about the ImagePolicy.
type Policy struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	// File is where it was read from, empty for a cluster.
	File                   string              `json:"file,omitempty"`
	Suspended              bool                `json:"suspended"`
	DigestReflectionPolicy v1.ReflectionPolicy `json:"digestReflectionPolicy"`
	Ready                  *Ready              `json:"ready,omitempty"`
	// LatestRef is that of the status in the cluster.
	LatestRef *v1.ImageRef `json:"latestRef,omitempty"`
	// Agrees says whether latestRef is the image that is selected here, with
	// the digest that the registry has if latestRef has one. It is left out
	// where no cluster was asked.
	Agrees *bool `json:"agrees,omitempty"`
}

// Repository is what is said about the ImageRepository.
type Repository struct {
	Name      string `json:"name,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	// File is where it was read from, empty for a cluster.
	File string `json:"file,omitempty"`
	// Image is spec.image, and CanonicalName the same with everything spelt
	// out that is implied. Both are empty where tags were given without it.
	Image         string    `json:"image,omitempty"`
	CanonicalName string    `json:"canonicalName,omitempty"`
	Suspended     bool      `json:"suspended"`
	Ready         *Ready    `json:"ready,omitempty"`
	LastScan      *LastScan `json:"lastScan,omitempty"`
}

// Ready is a Ready condition.
type Ready struct {
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
}

// LastScan is the last scan that succeeded.
type LastScan struct {
	Time     time.Time `json:"time"`
	Age      string    `json:"age"`
	Revision string    `json:"revision,omitempty"`
	TagCount int       `json:"tagCount"`
	// Due is why the next scan is due, empty where it is not.
	Due string `json:"due,omitempty"`
	// NextIn is the time until it is due by its interval.
	NextIn string `json:"nextIn,omitempty"`
}

// Source says where tags were read from.
type Source string

// The sources of tags.
const (
	FromRegistry Source = "Registry"
	FromStatus   Source = "Status"
	FromList     Source = "List"
)

// Tags counts what was listed.
type Tags struct {
	Source Source `json:"source"`
	// Complete is false where only a part of the tags is known.
	Complete bool `json:"complete"`
	// Listed is how many there are: the sum of Excluded, Candidates, Rejected and
	// Unranked.
	Listed int `json:"listed"`
	// Invalid is how many names were left out that no tag can have.
	Invalid    int `json:"invalid"`
	Excluded   int `json:"excluded"`
	Candidates int `json:"candidates"`
	Rejected   int `json:"rejected"`
	// Unranked are candidates, too, but how they rank is not known here.
	Unranked int `json:"unranked,omitempty"`
	// Revision is the one that a scan with this result would have.
	Revision string `json:"revision,omitempty"`
}

// Candidate is a tag that can be selected.
type Candidate struct {
	// Rank is 1 for the one that is selected, unless better ones do not pass the gates.
	Rank int    `json:"rank"`
	Tag  string `json:"tag"`
	// Key is the part of the tag that is compared.
	Key string `json:"key"`
	// Digest is what the registry says now, where it was asked, or else the digest
	// that was judged.
	Digest string `json:"digest,omitempty"`
	// Verdict is what became of it by the gates: Passed, Retained, Rejected or Pending as
	// in a status, NotEvaluated, or Unknown where a gate could not be judged.
	Verdict v1.CandidateVerdict `json:"verdict,omitempty"`
	// Gate is the field of spec that it does not pass.
	Gate string `json:"gate,omitempty"`
	// Message says why, or who signed.
	Message string `json:"message,omitempty"`
	// EligibleAt is when it is old enough.
	EligibleAt *time.Time `json:"eligibleAt,omitempty"`
}

// Gates are what the image of a candidate has to pass.
type Gates struct {
	Platforms  []string `json:"platforms,omitempty"`
	MinimumAge string   `json:"minimumAge,omitempty"`
	// Verify says by whom it must be signed.
	Verify string `json:"verify,omitempty"`
	// EvaluatedBy says whose verdicts are told.
	EvaluatedBy EvaluatedBy `json:"evaluatedBy"`
}

// Cause is why a tag is no candidate: one of selection's, or CauseExcluded.
type Cause = selection.Cause

// CauseExcluded is that an item of spec.exclusionList matches.
const CauseExcluded Cause = "Excluded"

// Rejection is a reason that some tags share.
type Rejection struct {
	Cause Cause `json:"cause"`
	// Item is the index in spec.exclusionList of the item that excludes.
	Item   *int   `json:"item,omitempty"`
	Reason string `json:"reason"`
	Count  int    `json:"count"`
	// Examples are a few of the tags.
	Examples []string `json:"examples"`
}

// RejectedTag is a tag that is no candidate.
type RejectedTag struct {
	Tag   string `json:"tag"`
	Cause Cause  `json:"cause"`
	// Reason follows "the tag …".
	Reason string `json:"reason"`

	// Item is the index in spec.exclusionList of the item that excludes.
	Item int `json:"-"`
}

// Verdict is what became of a tag.
type Verdict string

// The verdicts.
const (
	Selected  Verdict = "Selected"
	RunnerUp  Verdict = "RunnerUp"
	Rejected  Verdict = "Rejected"
	Excluded  Verdict = "Excluded"
	NotListed Verdict = "NotListed"
	// Stopped is that of a candidate which does not pass the gates.
	Stopped Verdict = "Stopped"
	// Unranked is that of a candidate of which nobody knows here how it ranks.
	Unranked Verdict = "Unranked"
)

// TagExplanation is what became of one tag, and why.
type TagExplanation struct {
	Tag     string  `json:"tag"`
	Verdict Verdict `json:"verdict"`
	// Cause is set for a tag that is no candidate although it is listed.
	Cause Cause `json:"cause,omitempty"`
	// Rank and Key are set for a candidate.
	Rank int    `json:"rank,omitempty"`
	Key  string `json:"key,omitempty"`
	// Behind is the tag that is selected in its place.
	Behind string `json:"behind,omitempty"`
	// Evaluated is what became of a candidate by the gates, where it was judged.
	Judged *v1.CandidateStatus `json:"judged,omitempty"`
	// Reason follows "the tag …".
	Reason string `json:"reason"`
}

// Note is something else that there is to know.
type Note struct {
	// Reason is a word for programs.
	Reason  string `json:"reason"`
	Message string `json:"message"`
}
