// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// EvaluatedBy says whose verdicts an explanation tells.
type EvaluatedBy string

// The judges.
const (
	// ByController are the verdicts in the status of the policy.
	ByController EvaluatedBy = "Controller"
	// ByExplain are those of the command itself.
	ByExplain EvaluatedBy = "Explain"
	// ByNobody says that there are none.
	ByNobody EvaluatedBy = "Nobody"
)

// Verdicts of candidates, beside those of the API.
const (
	// NotEvaluated is that of a candidate whose image was not judged.
	NotEvaluated v1.CandidateVerdict = "NotEvaluated"
	// Unknown is that of a candidate which passes what could be judged here.
	Unknown = admission.Unknown
)

// GateResults are the verdicts on some candidates, by tag.
type GateResults struct {
	By EvaluatedBy
	// Evaluated are the candidates that were judged.
	Evaluated []v1.CandidateStatus
	// Complete says that nothing was left unjudged that could be selected.
	Complete bool
}

// of returns the verdict on a tag.
func (t GateResults) of(tag string) (v1.CandidateStatus, bool) {
	i := slices.IndexFunc(t.Evaluated, func(c v1.CandidateStatus) bool { return c.Tag == tag })
	if i < 0 {
		return v1.CandidateStatus{}, false
	}
	return t.Evaluated[i], true
}

// Observed returns what the controller judged, as far as its status says so and
// speaks of the policy and the image as they are now.
func (c *Case) Observed() GateResults {
	status := c.Policy.Status
	ofImage := status.LatestRef == nil || status.LatestRef.Name == c.Repository.Spec.Image
	if !c.Live() || !c.Policy.Spec.HasGates() || !ofImage || len(status.Candidates) == 0 || status.ObservedGeneration != c.Policy.Generation {
		return GateResults{By: ByNobody}
	}
	return GateResults{By: ByController, Evaluated: status.Candidates, Complete: true}
}

// Admission returns what the candidates are judged by here. rule is the fingerprint of the rule
// of signatures, empty where there is none, and unverifiable why they can't be verified.
func (c *Case) Admission(rule, unverifiable string, now time.Time) admission.Input {
	gates := c.gates
	gates.Rule, gates.Unverifiable = rule, unverifiable
	if gates.MinimumAge > 0 {
		gates.Age = c.age
	}
	in := admission.Input{Gates: gates, Now: now}
	if c.Live() {
		in.Current = admission.CurrentOf(c.Policy, c.Repository.Spec.Image)
	}
	return in
}

// age judges the age of an image by the status: since when it counts is known to the controller
// only.
func (c *Case) age(of admission.Candidate, now time.Time) admission.Decision {
	j := admission.Decision{Verdict: v1.CandidatePassed}
	seen, known := c.Observed().of(of.Tag)
	switch {
	case of.Current:
	case !known || seen.Digest != of.Info.Digest:
		j.Verdict, j.Gate = Unknown, v1.GateMinimumAge
		j.Message = "passes the other gates, but since when its age counts is known to the controller only, which has not told yet"
	case seen.EligibleAt != nil && seen.EligibleAt.After(now):
		j.Verdict, j.Gate, j.EligibleAt = v1.CandidatePending, v1.GateMinimumAge, seen.EligibleAt.Time
		j.Message, _, _ = strings.Cut(seen.Message, "; ") // what is kept in its place is looked at here
	}
	return j
}

// reportedGates returns what images have to pass, nil for nothing.
func (c *Case) reportedGates(t GateResults) *Gates {
	spec := &c.Policy.Spec
	if !spec.HasGates() {
		return nil
	}
	g := &Gates{Platforms: spec.Platforms, EvaluatedBy: t.By, Verify: verifyText(spec.Verify)}
	if spec.MinimumAge != nil {
		g.MinimumAge = durationText(spec.MinimumAge.Duration)
	}
	return g
}

// durationText renders a duration without units of which there are none.
func durationText(d time.Duration) string {
	return strings.NewReplacer("h0m0s", "h", "m0s", "m").Replace(d.String())
}

// verifyText says by whom an image must be signed, as what follows "signed ".
func verifyText(verify *v1.ImageVerification) string {
	switch {
	case verify == nil:
		return ""
	case verify.Provider == v1.VerifyNotation && verify.SecretRef != nil:
		return fmt.Sprintf("as the trust policy in Secret '%s' demands, with notation", verify.SecretRef.Name)
	case verify.SecretRef != nil:
		return fmt.Sprintf("by a key in Secret '%s', with cosign", verify.SecretRef.Name)
	}
	var who []string
	for _, identity := range verify.MatchOIDCIdentity {
		who = append(who, fmt.Sprintf("%q of %q", identity.Subject, identity.Issuer))
	}
	text := "by " + strings.Join(who, " or ") + ", with cosign"
	if verify.TrustedRootSecretRef != nil {
		text += fmt.Sprintf(" and the trusted root in Secret '%s'", verify.TrustedRootSecretRef.Name)
	}
	return text
}

// judged adds a verdict to a candidate.
func (c *Case) judged(candidate Candidate, j v1.CandidateStatus) Candidate {
	candidate.Verdict, candidate.Gate, candidate.Message = j.Verdict, j.Gate, j.Message
	if j.EligibleAt != nil {
		candidate.EligibleAt = new(j.EligibleAt.UTC())
	}
	switch ref := c.Policy.Status.LatestRef; {
	case j.Verdict == v1.CandidateRetained && c.Live() && ref != nil: // the tag points at another one
		candidate.Digest = ref.Digest
	case j.Verdict != v1.CandidateRetained:
		candidate.Digest = j.Digest
	}
	return candidate
}

// part parts the ranking: those before the first candidate that is not stopped by
// its verdict, that one, and those behind it.
func (c *Case) part(r *Result, ranked []selection.Choice, o Options) {
	t := o.GateResults
	for i, choice := range ranked {
		candidate := Candidate{Rank: i + 1, Tag: choice.Tag, Key: choice.Key}
		j, known := t.of(choice.Tag)
		if known {
			candidate = c.judged(candidate, j)
		}
		switch {
		case r.Selected != nil && len(r.RunnersUp) < o.Top:
			r.RunnersUp = append(r.RunnersUp, candidate)
		case r.Selected != nil:
			return
		case known && admission.Blocks(j.Verdict):
			r.PassedOver = append(r.PassedOver, candidate)
		case !known && t.By == ByExplain: // more than are judged at a time
			return
		case !known && t.unreported(choice.Tag, c.rule):
		default:
			r.pick(candidate)
		}
	}
}

// pick notes the candidate that is selected.
func (r *Result) pick(candidate Candidate) {
	if r.Gates != nil {
		candidate.Verdict = cmp.Or(candidate.Verdict, NotEvaluated)
	}
	r.Selected = &candidate
}

// unreported reports whether the status may have left out a candidate that was judged:
// one behind the best ones of which it tells, and before the last.
func (t GateResults) unreported(tag string, rule *selection.Rule) bool {
	if t.By != ByController || len(t.Evaluated) < admission.MaxReported {
		return false
	}
	last := t.Evaluated[admission.MaxReported-1]
	if rule.Compare(t.Evaluated[admission.MaxReported-2].Tag, tag) < 0 {
		return false
	}
	return admission.Blocks(last.Verdict) || rule.Compare(tag, last.Tag) > 0
}

// noteGates notes what is not known of the images.
func (c *Case) noteGates(r *Result, t GateResults) {
	if r.Gates == nil {
		return
	}
	if by := r.Selected; by != nil {
		switch {
		case by.Verdict == NotEvaluated && t.By == ByController:
			r.Note(NoteNotJudged, "the controller has not judged %s yet: whether it passes the gates is not known, --gates judges it here", by.Tag)
		case by.Verdict == NotEvaluated:
			r.Note(NoteNotJudged, "no image was judged: whether %s passes the gates is not known, --gates judges it here", by.Tag)
		case by.Verdict == Unknown:
			r.Note(NoteNotJudged, "whether %s passes all gates is not known: it %s", by.Tag, by.Message)
		}
	}
	if !t.Complete && t.By == ByExplain {
		r.Note(NoteNotAllJudged, "none of the first %s passes, and the others were not judged: the controller goes on until one passes",
			Count(len(r.PassedOver), "candidate"))
	}
	if t.By == ByExplain {
		c.noteVerdicts(r)
	}
}

// Count returns a number with what is counted, in the plural unless there is one.
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// noteVerdicts notes where the controller came to another verdict on the same image.
func (c *Case) noteVerdicts(r *Result) {
	observed := c.Observed()
	candidates := r.PassedOver
	if r.Selected != nil {
		candidates = append(slices.Clone(candidates), *r.Selected)
	}
	for _, here := range candidates {
		there, known := observed.of(here.Tag)
		if !known || there.Digest != here.Digest || here.Verdict == Unknown || admission.Blocks(here.Verdict) == admission.Blocks(there.Verdict) {
			continue
		}
		r.Note(NoteVerdictDiffers, "the controller judged %s otherwise, when it last looked: %s", here.Tag,
			VerdictText(there.Verdict, there.Gate, there.Message))
	}
}

var verdictTexts = map[v1.CandidateVerdict]string{
	v1.CandidatePassed:   "passed",
	v1.CandidateRetained: "kept",
	v1.CandidateRejected: "rejected",
	v1.CandidatePending:  "too young",
	NotEvaluated:         "not judged",
	Unknown:              "not judged by all gates",
}

// VerdictText returns a verdict in words, with the field of spec and the reason, as what
// follows "the tag was ".
func VerdictText(verdict v1.CandidateVerdict, gate, message string) string {
	text := verdictTexts[verdict]
	if verdict == v1.CandidateRejected && gate != "" && gate != v1.GateDigest {
		text += " by spec." + gate
	}
	if message != "" {
		text += ": " + message
	}
	return text
}
