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

// EvaluatedBy is the origin of the verdicts of an explanation.
type EvaluatedBy string

// The origins of verdicts.
const (
	// ByController is for the verdicts in the status of the policy.
	ByController EvaluatedBy = "Controller"
	// ByExplain is for the verdicts of the command itself.
	ByExplain EvaluatedBy = "Explain"
	// ByNone means that there are no verdicts.
	ByNone EvaluatedBy = "None"
)

// Verdicts of candidates, in addition to those of the API.
const (
	// NotEvaluated means that the image was not evaluated.
	NotEvaluated v1.CandidateVerdict = "NotEvaluated"
	// Unknown means that the image passes all gates that could be evaluated here.
	Unknown = admission.Unknown
)

// GateResults are the verdicts on candidates.
type GateResults struct {
	By EvaluatedBy
	// Evaluated are the evaluated candidates, best first.
	Evaluated []v1.CandidateStatus
	// Complete is set if evaluation reached the first candidate that passes, or the last one.
	Complete bool
}

// verdictOn returns the verdict on a tag, and whether there is one.
func (g GateResults) verdictOn(tag string) (v1.CandidateStatus, bool) {
	i := slices.IndexFunc(g.Evaluated, func(c v1.CandidateStatus) bool { return c.Tag == tag })
	if i < 0 {
		return v1.CandidateStatus{}, false
	}
	return g.Evaluated[i], true
}

// Observed returns the verdicts in the status of the policy, if they are about the current policy
// and image.
func (c *Case) Observed() GateResults {
	status := c.Policy.Status
	current := status.LatestRef == nil || status.LatestRef.Name == c.Repository.Spec.Image
	if !c.Live() || !c.Policy.Spec.HasGates() || !current || len(status.Candidates) == 0 || status.ObservedGeneration != c.Policy.Generation {
		return GateResults{By: ByNone}
	}
	return GateResults{By: ByController, Evaluated: status.Candidates, Complete: true}
}

// Admission returns the input for evaluating the gates here. rule is the fingerprint of the
// verifier, empty if there is none; unverifiable is why signatures can't be verified.
func (c *Case) Admission(rule, unverifiable string, now time.Time) admission.Input {
	gates := c.gates
	gates.VerifierFingerprint, gates.Unverifiable = rule, unverifiable
	if gates.MinimumAge > 0 {
		gates.Age = c.evaluateAge
	}
	in := admission.Input{Gates: gates, Now: now}
	if c.Live() {
		in.Current = admission.CurrentImageOf(c.Policy, c.Repository.Spec.Image)
	}
	return in
}

// evaluateAge evaluates spec.minimumAge by the status, since only the controller records when it
// first saw an image.
func (c *Case) evaluateAge(candidate admission.Candidate, now time.Time) admission.Decision {
	d := admission.Decision{Verdict: v1.CandidatePassed}
	observed, found := c.Observed().verdictOn(candidate.Tag)
	switch {
	case candidate.Current:
	case !found || observed.Digest != candidate.Info.Digest:
		d.Verdict, d.Gate = Unknown, v1.GateMinimumAge
		d.Message = "passes the other gates, but its age is unknown: only the controller records it, and no status reports it yet"
	case observed.EligibleAt != nil && observed.EligibleAt.After(now):
		d.Verdict, d.Gate, d.EligibleAt = v1.CandidatePending, v1.GateMinimumAge, observed.EligibleAt.Time
		d.Message, _, _ = strings.Cut(observed.Message, "; ") // the rest is about a retained image, which is evaluated here
	}
	return d
}

// reportedGates returns the gates of the policy; nil if it has none.
func (c *Case) reportedGates(results GateResults) *Gates {
	spec := &c.Policy.Spec
	if !spec.HasGates() {
		return nil
	}
	g := &Gates{Platforms: spec.Platforms, EvaluatedBy: results.By, Verify: signerText(spec.Verify)}
	g.Attestations = attestationTypes(spec.Verify)
	if spec.MinimumAge != nil {
		g.MinimumAge = durationText(spec.MinimumAge.Duration)
	}
	return g
}

// durationText formats a duration without trailing zero units.
func durationText(d time.Duration) string {
	return strings.NewReplacer("h0m0s", "h", "m0s", "m").Replace(d.String())
}

// attestationTypes returns the predicate types of the required attestations.
func attestationTypes(verify *v1.ImageVerification) []string {
	if verify == nil {
		return nil
	}
	var types []string
	for _, required := range verify.Attestations {
		types = append(types, required.PredicateType)
	}
	return types
}

// signerText returns the required signer, as a continuation of "signed ".
func signerText(verify *v1.ImageVerification) string {
	switch {
	case verify == nil:
		return ""
	case verify.Provider == v1.VerifyNotation && verify.SecretRef != nil:
		return fmt.Sprintf("as the trust policy in Secret '%s' demands, with notation", verify.SecretRef.Name)
	case verify.SecretRef != nil:
		return fmt.Sprintf("by a key in Secret '%s', with cosign", verify.SecretRef.Name)
	}
	if len(verify.MatchOIDCIdentity) == 0 {
		return "by no key or identity: add spec.verify.secretRef or spec.verify.matchOIDCIdentity"
	}
	var signers []string
	for _, identity := range verify.MatchOIDCIdentity {
		signers = append(signers, fmt.Sprintf("%q of %q", identity.Subject, identity.Issuer))
	}
	text := "by " + strings.Join(signers, " or ") + ", with cosign"
	if verify.TrustedRootSecretRef != nil {
		text += fmt.Sprintf(" and the trusted root in Secret '%s'", verify.TrustedRootSecretRef.Name)
	}
	return text
}

// withVerdict returns the candidate with a verdict added.
func (c *Case) withVerdict(candidate Candidate, verdict v1.CandidateStatus) Candidate {
	candidate.Verdict, candidate.Gate, candidate.Message = verdict.Verdict, verdict.Gate, verdict.Message
	if verdict.EligibleAt != nil {
		candidate.EligibleAt = new(verdict.EligibleAt.UTC())
	}
	switch ref := c.Policy.Status.LatestRef; {
	case verdict.Verdict == v1.CandidateRetained && c.Live() && ref != nil: // the tag has moved to another image
		candidate.Digest = ref.Digest
	case verdict.Verdict != v1.CandidateRetained:
		candidate.Digest = verdict.Digest
	}
	return candidate
}

// partition splits the ranking into the candidates that don't pass the gates, the selected one and
// the runners-up.
func (c *Case) partition(r *Result, ranked []selection.Choice, o Options) {
	results := o.GateResults
	for i, choice := range ranked {
		candidate := Candidate{Rank: i + 1, Tag: choice.Tag, Key: choice.Key}
		verdict, evaluated := results.verdictOn(choice.Tag)
		if evaluated {
			candidate = c.withVerdict(candidate, verdict)
		}
		switch {
		case r.Selected != nil && len(r.RunnersUp) < o.Top:
			r.RunnersUp = append(r.RunnersUp, candidate)
		case r.Selected != nil:
			return
		case evaluated && admission.Blocks(verdict.Verdict):
			r.PassedOver = append(r.PassedOver, candidate)
		case !evaluated && results.By == ByExplain: // the budget was exceeded
			return
		case !evaluated && results.unreported(choice.Tag, c.rule):
		default:
			r.setSelected(candidate)
		}
	}
}

// setSelected stores the selected candidate.
func (r *Result) setSelected(candidate Candidate) {
	if r.Gates != nil {
		candidate.Verdict = cmp.Or(candidate.Verdict, NotEvaluated)
	}
	r.Selected = &candidate
}

// unreported reports whether the status may omit an evaluated candidate. It lists the best ones and
// the last one, and omits those in between.
func (g GateResults) unreported(tag string, rule *selection.Rule) bool {
	if g.By != ByController || len(g.Evaluated) < admission.MaxReported {
		return false
	}
	last := g.Evaluated[admission.MaxReported-1]
	if rule.Compare(g.Evaluated[admission.MaxReported-2].Tag, tag) < 0 {
		return false
	}
	return admission.Blocks(last.Verdict) || rule.Compare(tag, last.Tag) > 0
}

// noteGates notes which verdicts are missing or incomplete.
func (c *Case) noteGates(r *Result, results GateResults) {
	if r.Gates == nil {
		return
	}
	if selected := r.Selected; selected != nil {
		switch {
		case selected.Verdict == NotEvaluated && results.By == ByController:
			r.Note(NoteNotEvaluated, "the controller has not evaluated %s yet: whether it passes the gates is not known, "+
				"--gates evaluates it here", selected.Tag)
		case selected.Verdict == NotEvaluated:
			r.Note(NoteNotEvaluated, "no image was evaluated: whether %s passes the gates is not known, --gates evaluates it here", selected.Tag)
		case selected.Verdict == Unknown:
			r.Note(NoteNotEvaluated, "whether %s passes all gates is not known: it %s", selected.Tag, selected.Message)
		}
	}
	if !results.Complete && results.By == ByExplain {
		r.Note(NoteNotAllEvaluated, "none of the first %s passes, and the others were not evaluated: the controller continues until one passes",
			Plural(len(r.PassedOver), "candidate"))
	}
	if results.By == ByExplain {
		c.noteVerdicts(r)
	}
}

// Plural returns n with a noun, in the plural unless n is 1.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// noteVerdicts notes the images on which the controller's verdict differs.
func (c *Case) noteVerdicts(r *Result) {
	observed := c.Observed()
	candidates := r.PassedOver
	if r.Selected != nil {
		candidates = append(slices.Clone(candidates), *r.Selected)
	}
	for _, candidate := range candidates {
		verdict, found := observed.verdictOn(candidate.Tag)
		if !found || verdict.Digest != candidate.Digest || candidate.Verdict == Unknown ||
			admission.Blocks(candidate.Verdict) == admission.Blocks(verdict.Verdict) {
			continue
		}
		r.Note(NoteVerdictDiffers, "the last verdict of the controller on %s differs: %s", candidate.Tag,
			VerdictText(verdict.Verdict, verdict.Gate, verdict.Message))
	}
}

var verdictTexts = map[v1.CandidateVerdict]string{
	v1.CandidatePassed:   "passed",
	v1.CandidateRetained: "kept",
	v1.CandidateRejected: "rejected",
	v1.CandidatePending:  "too young",
	NotEvaluated:         "not evaluated",
	Unknown:              "not evaluated by all gates",
}

// VerdictText returns a verdict in words, with the field of spec and the reason, as a continuation
// of "the tag was ".
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
