// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

const (
	// APIVersion is the version of Result. Within a version, fields are only added.
	APIVersion = "explain.image.toolkit.fluxcd.io/v1"
	// Kind is the kind of Result.
	Kind = "Explanation"
)

// Result is an explanation in its machine-readable form.
type Result struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`

	Policy     Policy     `json:"policy"`
	Repository Repository `json:"repository"`
	// Rule describes the rule of the policy.
	Rule string `json:"rule"`
	// Gates are the gates of the policy, if any.
	Gates *Gates `json:"gates,omitempty"`
	// Tags counts the listed tags by outcome.
	Tags Tags `json:"tags"`

	// PassedOver are the candidates that rank before Selected but do not pass the gates, best
	// first.
	PassedOver []Candidate `json:"passedOver,omitempty"`
	// Selected is the latest image; null if no tag is a candidate, or none passes the gates.
	Selected *Candidate `json:"selected"`
	// RunnersUp are the candidates after Selected, best first, up to Options.Top.
	RunnersUp []Candidate `json:"runnersUp"`
	// Rejections are the reasons why tags are not candidates.
	Rejections []Rejection `json:"rejections"`
	// Rejected are all tags that are not candidates, if Options.All is set.
	Rejected []RejectedTag `json:"rejected,omitempty"`
	// Tag explains Options.Tag.
	Tag *TagExplanation `json:"tag,omitempty"`
	// History is what the policy selected, if Options.History is set.
	History *History `json:"history,omitempty"`
	// Notes are further facts, such as why the status differs.
	Notes []Note `json:"notes"`
}

// Policy describes the ImagePolicy.
type Policy struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	// File is the file of the object; empty if read from a cluster.
	File                   string              `json:"file,omitempty"`
	Suspended              bool                `json:"suspended"`
	DigestReflectionPolicy v1.ReflectionPolicy `json:"digestReflectionPolicy"`
	Ready                  *Ready              `json:"ready,omitempty"`
	// LatestRef is status.latestRef of the object in the cluster.
	LatestRef *v1.ImageRef `json:"latestRef,omitempty"`
	// Agrees is whether latestRef is the image selected here, with the digest in the registry if
	// latestRef has one. It is omitted without a cluster, or if that is not known.
	Agrees *bool `json:"agrees,omitempty"`
}

// Repository describes the ImageRepository.
type Repository struct {
	Name      string `json:"name,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	// File is the file of the object; empty if read from a cluster.
	File string `json:"file,omitempty"`
	// Image is spec.image; CanonicalName is its full name. Both are empty for tags from a list
	// without an image.
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
	// Due is why the next scan is due; empty if it is not.
	Due string `json:"due,omitempty"`
	// NextIn is the time until the interval elapses.
	NextIn string `json:"nextIn,omitempty"`
}

// Source is where tags were read from.
type Source string

// The sources of tags.
const (
	FromRegistry Source = "Registry"
	FromStatus   Source = "Status"
	FromList     Source = "List"
)

// Tags counts tags.
type Tags struct {
	Source Source `json:"source"`
	// Complete is false if only a part of the tags is known.
	Complete bool `json:"complete"`
	// Listed is the sum of Excluded, Candidates, Rejected and Unranked.
	Listed int `json:"listed"`
	// Invalid is the number of listed names that are not valid tags.
	Invalid    int `json:"invalid"`
	Excluded   int `json:"excluded"`
	Candidates int `json:"candidates"`
	Rejected   int `json:"rejected"`
	// Unranked counts candidates whose rank is not known here.
	Unranked int `json:"unranked,omitempty"`
	// Revision is the revision of a scan that lists these tags.
	Revision string `json:"revision,omitempty"`
}

// Candidate is a tag that can be selected.
type Candidate struct {
	// Rank is the position in the ranking; 1 is the best.
	Rank int    `json:"rank"`
	Tag  string `json:"tag"`
	// Key is the value that the rule compares.
	Key string `json:"key"`
	// Digest is the current digest in the registry or, if that was not read, the evaluated one.
	Digest string `json:"digest,omitempty"`
	// Verdict is the result of the gates: Passed, Retained, Rejected or Pending as in a status,
	// NotEvaluated, or Unknown if a gate could not be evaluated.
	Verdict v1.CandidateVerdict `json:"verdict,omitempty"`
	// Gate is the field of spec of the gate that did not pass.
	Gate string `json:"gate,omitempty"`
	// Message is the reason for the verdict, or the signer.
	Message string `json:"message,omitempty"`
	// EligibleAt is when the image is old enough.
	EligibleAt *time.Time `json:"eligibleAt,omitempty"`
}

// Gates are the gates of a policy.
type Gates struct {
	Platforms  []string `json:"platforms,omitempty"`
	MinimumAge string   `json:"minimumAge,omitempty"`
	// Verify is the required signer.
	Verify string `json:"verify,omitempty"`
	// Attestations are the predicate types of the required attestations by the signer.
	Attestations []string `json:"attestations,omitempty"`
	// EvaluatedBy is the origin of the verdicts.
	EvaluatedBy EvaluatedBy `json:"evaluatedBy"`
}

// Cause is why a tag is not a candidate: a cause of selection, or CauseExcluded.
type Cause = selection.Cause

// CauseExcluded means that an item of spec.exclusionList matches.
const CauseExcluded Cause = "Excluded"

// Rejection is a group of tags rejected for the same reason.
type Rejection struct {
	Cause Cause `json:"cause"`
	// Item is the index of the matching item in spec.exclusionList.
	Item   *int   `json:"item,omitempty"`
	Reason string `json:"reason"`
	Count  int    `json:"count"`
	// Examples are a few of the tags.
	Examples []string `json:"examples"`
}

// RejectedTag is a tag that is not a candidate.
type RejectedTag struct {
	Tag   string `json:"tag"`
	Cause Cause  `json:"cause"`
	// Reason is a continuation of "the tag …".
	Reason string `json:"reason"`

	// Item is the index of the matching item in spec.exclusionList.
	Item int `json:"-"`
}

// Verdict is the outcome for a tag.
type Verdict string

// The verdicts.
const (
	Selected  Verdict = "Selected"
	RunnerUp  Verdict = "RunnerUp"
	Rejected  Verdict = "Rejected"
	Excluded  Verdict = "Excluded"
	NotListed Verdict = "NotListed"
	// Stopped is for a candidate that does not pass the gates.
	Stopped Verdict = "Stopped"
	// Unranked is for a candidate whose rank is not known here.
	Unranked Verdict = "Unranked"
)

// TagExplanation explains the outcome for one tag.
type TagExplanation struct {
	Tag     string  `json:"tag"`
	Verdict Verdict `json:"verdict"`
	// Cause is set for a tag that is not a candidate.
	Cause Cause `json:"cause,omitempty"`
	// Rank and Key are set for a candidate.
	Rank int    `json:"rank,omitempty"`
	Key  string `json:"key,omitempty"`
	// Behind is the selected tag, which ranks before this one.
	Behind string `json:"behind,omitempty"`
	// Evaluated is the result of the gates, if the candidate was evaluated.
	Evaluated *v1.CandidateStatus `json:"evaluated,omitempty"`
	// Reason is a continuation of "the tag …".
	Reason string `json:"reason"`
}

// History is what a policy selected.
type History struct {
	// Entries are those of status.history, newest first.
	Entries []HistoryEntry `json:"entries"`
	// Rollback is how to go back to the image before the latest one; nil if that is not known.
	Rollback *Rollback `json:"rollback,omitempty"`
}

// HistoryEntry is an image that the policy selected.
type HistoryEntry struct {
	v1.HistoryEntry `json:",inline"`
	// Age is the time since the selection; empty if that is not known.
	Age string `json:"age,omitempty"`
}

// Rollback is how to go back to an image.
type Rollback struct {
	// To is the image.
	To *v1.ImageRef `json:"to"`
	// Exclude is the value of spec.exclude with which the policy selects the image, and Command
	// sets it. Command is empty if spec.exclude can't make the policy select the image.
	Exclude []string `json:"exclude,omitempty"`
	Command string   `json:"command,omitempty"`
	// Message is what else to consider or, without Command, why and what else to do.
	Message string `json:"message"`
}

// Note is a further fact.
type Note struct {
	// Reason is machine-readable, in CamelCase.
	Reason  string `json:"reason"`
	Message string `json:"message"`
}
