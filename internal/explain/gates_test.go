// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
)

// gatedCase returns a case with gates, and with these candidates in its status.
func gatedCase(t *testing.T, latest string, candidates ...v1.CandidateStatus) *explain.Case {
	t.Helper()
	c := newCase(t, latest, "1.0.0", "1.1.0", "1.2.0")
	c.Policy.Spec.Platforms = []string{"linux/amd64", "linux/arm64"}
	c.Policy.Status.Candidates = candidates
	return c
}

func passed(tag string) v1.CandidateStatus {
	return v1.CandidateStatus{Tag: tag, Digest: "sha256:" + tag, Verdict: v1.CandidatePassed}
}

func rejected(tag string) v1.CandidateStatus {
	return v1.CandidateStatus{Tag: tag, Digest: "sha256:" + tag, Verdict: v1.CandidateRejected, Gate: v1.GatePlatforms,
		Message: "does not provide linux/arm64, only linux/amd64"}
}

func pending(tag string) v1.CandidateStatus {
	return v1.CandidateStatus{Tag: tag, Digest: "sha256:" + tag, Verdict: v1.CandidatePending, Gate: v1.GateMinimumAge,
		Message: "was first seen at T, and is old enough at U", EligibleAt: new(metav1.NewTime(now.Add(time.Hour)))}
}

func noteReasons(r *explain.Result) []string {
	var reasons []string
	for _, note := range r.Notes {
		reasons = append(reasons, note.Reason)
	}
	return reasons
}

// rankingText returns the passed over, selected and other candidates in one line.
func rankingText(r *explain.Result) string {
	text := ""
	for _, c := range r.PassedOver {
		text += fmt.Sprintf("%d %s %s, ", c.Rank, c.Tag, c.Verdict)
	}
	if r.Selected == nil {
		return text + "nothing"
	}
	text += fmt.Sprintf("selected %d %s %s", r.Selected.Rank, r.Selected.Tag, r.Selected.Verdict)
	for _, c := range r.RunnersUp {
		text += fmt.Sprintf(", %d %s", c.Rank, c.Tag)
	}
	return text
}

// TestExplain_UsesVerdictsFromStatus checks that the verdicts in the status lead to the tag in the
// status, and that missing verdicts are not guessed.
func TestExplain_UsesVerdictsFromStatus(t *testing.T) {
	all := []string{"1.0.0", "1.1.0", "1.2.0"}
	for _, tt := range []struct {
		reason string
		c      *explain.Case
		tags   []string
		want   string
		agrees bool
		by     explain.EvaluatedBy
		notes  []string
	}{
		{"a lower tag passed", gatedCase(t, "1.1.0", rejected("1.2.0"), passed("1.1.0")), all, "1 1.2.0 Rejected, selected 2 1.1.0 Passed, 3 1.0.0", true, explain.ByController, nil},
		{"the best tag is too young", gatedCase(t, "1.1.0", pending("1.2.0"), passed("1.1.0")), all, "1 1.2.0 Pending, selected 2 1.1.0 Passed, 3 1.0.0", true, explain.ByController, nil},
		{"the best tag passed", gatedCase(t, "1.2.0", passed("1.2.0")), all, "selected 1 1.2.0 Passed, 2 1.1.0, 3 1.0.0", true, explain.ByController, nil},
		{"no tag passed", gatedCase(t, "", rejected("1.2.0"), rejected("1.1.0"), rejected("1.0.0")), all,
			"1 1.2.0 Rejected, 2 1.1.0 Rejected, 3 1.0.0 Rejected, nothing", true, explain.ByController, []string{explain.NoteNothingReflected}},
		{"a new tag was not evaluated yet", gatedCase(t, "1.1.0", rejected("1.2.0"), passed("1.1.0")), append(all, "1.3.0"),
			"selected 1 1.3.0 NotEvaluated, 2 1.2.0, 3 1.1.0, 4 1.0.0", false, explain.ByController,
			[]string{explain.NoteNotEvaluated, explain.NoteDiffers, explain.NoteListChanged, explain.NoteScanScheduled}},
		{"nothing was evaluated yet", gatedCase(t, "1.2.0"), all, "selected 1 1.2.0 NotEvaluated, 2 1.1.0, 3 1.0.0", true, explain.ByNone, []string{explain.NoteNotEvaluated}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			r := explainAndCompare(t, tt.c, explain.Options{Top: 5}, explain.Listing{Tags: tt.tags})
			g.Expect(rankingText(r)).To(BeComparableTo(tt.want))
			g.Expect(noteReasons(r)).To(BeComparableTo(tt.notes), "notes")
			g.Expect(*r.Policy.Agrees).To(Equal(tt.agrees), "agrees")
			g.Expect(r.Gates.EvaluatedBy).To(Equal(tt.by), "evaluated by")
		})
	}
}

// TestExplain_IgnoresOutdatedVerdicts covers verdicts on other gates or on another image.
func TestExplain_IgnoresOutdatedVerdicts(t *testing.T) {
	for reason, change := range map[string]func(*explain.Case){
		"the gates were changed":     func(c *explain.Case) { c.Policy.Generation = 2 },
		"the image was replaced":     func(c *explain.Case) { c.Policy.Status.LatestRef.Name = "other" },
		"the objects are from files": func(c *explain.Case) { c.PolicyFile = "all.yaml" },
		"the status has no verdicts": func(c *explain.Case) { c.Policy.Status.Candidates = nil },
	} {
		t.Run(reason, func(t *testing.T) {
			g := NewWithT(t)
			c := gatedCase(t, "1.1.0", rejected("1.2.0"), passed("1.1.0"))
			change(c)
			g.Expect(c.Compile()).To(Succeed())
			r := c.Explain(explain.Listing{Source: explain.FromRegistry, Tags: []string{"1.1.0", "1.2.0"}}, explain.Options{Now: now, Top: 5})
			g.Expect(rankingText(r)).To(Equal("selected 1 1.2.0 NotEvaluated, 2 1.1.0"))
		})
	}
}

// TestExplain_HandlesTruncatedCandidates covers a status that omits candidates, since more than
// admission.MaxReported were evaluated.
func TestExplain_HandlesTruncatedCandidates(t *testing.T) {
	var candidates []v1.CandidateStatus
	for minor := 20; minor > 13; minor-- {
		candidates = append(candidates, rejected(fmt.Sprintf("1.%d.0", minor)))
	}
	var tags []string
	for minor := range 21 {
		tags = append(tags, fmt.Sprintf("1.%d.0", minor))
	}
	for reason, tt := range map[string]struct {
		last v1.CandidateStatus
		tags []string
		want string
	}{
		"omitted tags were rejected":               {passed("1.3.0"), tags, "selected 18 1.3.0 Passed"},
		"all tags were rejected":                   {rejected("1.0.0"), tags, "nothing"},
		"a new best tag is not evaluated":          {passed("1.3.0"), slices.Concat(tags, []string{"1.21.0"}), "selected 1 1.21.0 NotEvaluated"},
		"a new tag among the reported ones is not": {passed("1.3.0"), slices.Concat(tags, []string{"1.18.1"}), "selected 3 1.18.1 NotEvaluated"},
		"no tag is omitted":                        {rejected("1.13.0"), tags[:15], "nothing"},
	} {
		t.Run(reason, func(t *testing.T) {
			g := NewWithT(t)
			r := explainAndCompare(t, gatedCase(t, "1.3.0", append(candidates, tt.last)...), explain.Options{}, explain.Listing{Tags: tt.tags})
			g.Expect(rankingText(r)).To(HaveSuffix(tt.want))
		})
	}
}

// TestExplain_ReportsRetainedImage covers a selected tag that was moved to an image that does not
// pass: the status correctly keeps the digest that passed.
func TestExplain_ReportsRetainedImage(t *testing.T) {
	g := NewWithT(t)
	retained := rejected("1.2.0")
	retained.Verdict, retained.Message = v1.CandidateRetained, "does not provide linux/arm64; sha256:old, which passed before, stays selected"
	c := gatedCase(t, "1.2.0", retained)
	c.Policy.Status.LatestRef.Digest = "sha256:old"
	r := explainAndCompare(t, c, explain.Options{Tag: "1.2.0"}, explain.Listing{Tags: []string{"1.0.0", "1.1.0", "1.2.0"}})
	g.Expect(rankingText(r)).To(Equal("selected 1 1.2.0 Retained"))
	g.Expect(r.Selected.Digest).To(Equal("sha256:old"))
	g.Expect(*r.Policy.Agrees).To(BeTrue())
	g.Expect(r.Tag.Verdict).To(Equal(explain.Selected))
	g.Expect(r.Tag.Evaluated.Digest).To(Equal("sha256:1.2.0"), "digest of the tag in the registry")
}

func TestExplain_DescribesGates(t *testing.T) {
	g := NewWithT(t)
	secret := &meta.LocalObjectReference{Name: "keys"}
	for _, tt := range []struct {
		verify v1.ImageVerification
		want   string
	}{
		{v1.ImageVerification{Provider: "cosign", SecretRef: secret}, "by a key in Secret 'keys', with cosign"},
		{v1.ImageVerification{SecretRef: secret}, "by a key in Secret 'keys', with cosign"},
		{v1.ImageVerification{SecretRef: secret, Attestations: []v1.AttestationRequirement{{PredicateType: "a", CEL: "true"}, {PredicateType: "b"}}},
			"by a key in Secret 'keys', with cosign"},
		{v1.ImageVerification{Provider: "notation", SecretRef: secret}, "as the trust policy in Secret 'keys' demands, with notation"},
		{v1.ImageVerification{Provider: "cosign", TrustedRootSecretRef: secret, MatchOIDCIdentity: []v1.OIDCIdentityMatch{
			{Issuer: "^https://i$", Subject: "^a$"}, {Issuer: "^https://j$", Subject: "^b$"},
		}}, `by "^a$" of "^https://i$" or "^b$" of "^https://j$", with cosign and the trusted root in Secret 'keys'`},
	} {
		c := gatedCase(t, "")
		var types []string
		if tt.verify.Attestations != nil {
			types = []string{"a", "b"}
		}
		c.Policy.Spec.Verify = &tt.verify
		c.Policy.Spec.MinimumAge = &metav1.Duration{Duration: 72 * time.Hour}
		r := explainAndCompare(t, c, explain.Options{}, explain.Listing{Tags: []string{"1.0.0"}})
		want := &explain.Gates{Platforms: []string{"linux/amd64", "linux/arm64"}, MinimumAge: "72h", Verify: tt.want, Attestations: types, EvaluatedBy: explain.ByNone}
		g.Expect(r.Gates).To(BeComparableTo(want))
	}
	for d, want := range map[time.Duration]string{time.Hour: "1h", 90 * time.Minute: "1h30m", time.Minute: "1m", 90 * time.Second: "1m30s", 10 * time.Hour: "10h"} {
		c := gatedCase(t, "")
		c.Policy.Spec.MinimumAge = &metav1.Duration{Duration: d}
		g.Expect(explainAndCompare(t, c, explain.Options{}, explain.Listing{}).Gates.MinimumAge).To(Equal(want))
	}
}

// TestExplain_ExplainsTagWithGates checks that Options.Tag is explained with its verdict.
func TestExplain_ExplainsTagWithGates(t *testing.T) {
	g := NewWithT(t)
	c := func() *explain.Case {
		c := gatedCase(t, "1.1.0", rejected("1.4.0"), pending("1.3.0"), passed("1.1.0"))
		c.Policy.Spec.Exclude = []string{"1.5.0"}
		return c
	}
	tags := []string{"1.0.0", "1.1.0", "1.3.0", "1.4.0", "1.5.0"}
	for _, tt := range []struct {
		tag     string
		verdict explain.Verdict
		reason  string
	}{
		{"1.5.0", explain.Rejected, "is held back by spec.exclude"},
		{"1.4.0", explain.Stopped, "is a candidate, and ranks 1; the controller reports: rejected by spec.platforms: does not provide linux/arm64, only linux/amd64"},
		{"1.3.0", explain.Stopped, "is a candidate, and ranks 2; the controller reports: too young: was first seen at T, and is old enough at U"},
		{"1.1.0", explain.Selected, "ranks 3 of the candidates, and is the best one that passes the gates; the controller reports: passed"},
		{"1.0.0", explain.RunnerUp, `is a candidate, and ranks 4, behind 1.1.0: "1.1.0" is a higher version than "1.0.0"; its image was not evaluated`},
		{"1.2.0", explain.NotListed, "is not in the registry; it would be selected if its image passes the gates"},
		{"1.0.1", explain.NotListed, `is not in the registry; it would be a candidate, behind 1.1.0: "1.1.0" is a higher version than "1.0.1"`},
	} {
		r := explainAndCompare(t, c(), explain.Options{Tag: tt.tag}, explain.Listing{Tags: tags})
		g.Expect(r.Tag.Verdict).To(Equal(tt.verdict), "%s", tt.tag)
		g.Expect(r.Tag.Reason).To(Equal(tt.reason), "%s", tt.tag)
	}
	r := explainAndCompare(t, c(), explain.Options{}, explain.Listing{Tags: tags})
	want := []explain.Rejection{{Cause: "HeldBack", Reason: "held back by spec.exclude", Count: 1, Examples: []string{"1.5.0"}}}
	g.Expect(r.Rejections).To(BeComparableTo(want), "rejections")
}

// TestExplain_PrefersOwnGateResultsToStatus checks that Options.GateResults take precedence.
func TestExplain_PrefersOwnGateResultsToStatus(t *testing.T) {
	g := NewWithT(t)
	c := gatedCase(t, "1.1.0", rejected("1.2.0"), passed("1.1.0"))
	tags := []string{"1.0.0", "1.1.0", "1.2.0"}
	results := &explain.GateResults{By: explain.ByExplain, Complete: true, Evaluated: []v1.CandidateStatus{passed("1.2.0")}}
	r := explainAndCompare(t, c, explain.Options{GateResults: results}, explain.Listing{Tags: tags})
	g.Expect(rankingText(r)).To(Equal("selected 1 1.2.0 Passed"))
	g.Expect(*r.Policy.Agrees).To(BeFalse())
	g.Expect(r.Notes).To(ContainElement(HaveField("Message", ContainSubstring("the last verdict of the controller on 1.2.0 differs: rejected by spec.platforms"))))

	results = &explain.GateResults{By: explain.ByExplain, Evaluated: []v1.CandidateStatus{rejected("1.2.0")}}
	r = explainAndCompare(t, c, explain.Options{GateResults: results, Top: 5}, explain.Listing{Tags: tags})
	g.Expect(rankingText(r)).To(Equal("1 1.2.0 Rejected, nothing"), "a tag that was not evaluated is not selected")
	g.Expect(noteReasons(r)).To(ContainElement(explain.NoteNotAllEvaluated))
}

// newestCase returns a case whose policy compares times.
func newestCase(t *testing.T, by v1.TimeSource, latest string) *explain.Case {
	t.Helper()
	c := newCase(t, latest, "a", "b", "c")
	c.Policy.Spec.Policy = v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: by}}
	c.Policy.Spec.FilterTags = &v1.TagFilter{Pattern: "^[a-y]$"}
	NewWithT(t).Expect(c.Compile()).To(Succeed())
	return c
}

// TestExplain_RanksNothingWithoutTimes checks that without times, only the tag in the status is
// ranked.
func TestExplain_RanksNothingWithoutTimes(t *testing.T) {
	for by, text := range map[v1.TimeSource]string{v1.TimeFirstSeen: "only the controller records", v1.TimeCreated: "--gates reads the times of all 3 tags"} {
		g := NewWithT(t)
		c := newestCase(t, by, "b")
		g.Expect(c.SelectFromStatus()).To(Succeed())
		l := explain.Listing{Source: explain.FromRegistry, Tags: []string{"a", "b", "c", "z"}}
		r := c.Explain(l, explain.Options{Now: now, Top: 5, Tag: "c", All: true})
		c.Compare(r, l)
		g.Expect(r.Selected).To(Equal(&explain.Candidate{Rank: 1, Tag: "b"}), "the tag in the status, without a key")
		g.Expect(r.RunnersUp).To(BeEmpty())
		g.Expect(r.Tags).To(And(HaveField("Listed", 4), HaveField("Candidates", 1), HaveField("Unranked", 2), HaveField("Rejected", 1)))
		g.Expect(r.Rejected).To(ConsistOf(HaveField("Tag", "z")))
		g.Expect(r.Policy.Agrees).To(BeNil(), "no times were compared")
		g.Expect(r.Tag).To(And(HaveField("Verdict", explain.Unranked), HaveField("Reason", "is a candidate, but its rank is not known here")))
		g.Expect(r.Notes).To(ContainElement(HaveField("Message", ContainSubstring(text))))

		c = newestCase(t, by, "")
		g.Expect(c.SelectFromStatus()).To(Succeed())
		g.Expect(c.Explain(l, explain.Options{Now: now}).Selected).To(BeNil(), "no tag is selected")

		c = newestCase(t, by, "b")
		c.PolicyFile = "p.yaml"
		g.Expect(c.SelectFromStatus()).To(MatchError(ContainSubstring("p.yaml: ImagePolicy 'apps/app': policy.newest compares when")))
	}
}

func TestExplain_RanksByProvidedTimes(t *testing.T) {
	g := NewWithT(t)
	c := newestCase(t, v1.TimeCreated, "b")
	g.Expect(c.Timed([]string{"z", "c", "dev-1", "b", "a"})).To(ConsistOf("a", "b", "c"), "without excluded and filtered tags")
	c.ProvideCreated(map[string]admission.ImageInfo{
		"a": {Digest: "d", Created: 97, CreatedBy: admission.CreatedByAnnotation},
		"b": {Digest: "d", Created: 98, CreatedBy: admission.CreatedByLabel},
		"c": {Digest: "d", Created: admission.CreatedUnstated},
		"d": {Created: admission.CreatedUnstated},
	})
	l := explain.Listing{Source: explain.FromRegistry, Tags: []string{"a", "b", "c", "d"}}
	r := c.Explain(l, explain.Options{Now: now, Top: 5, Tag: "c"})
	c.Compare(r, l)
	g.Expect(rankingText(r)).To(Equal("selected 1 b , 2 a"))
	g.Expect(r.Tag.Verdict).To(Equal(explain.Unranked), "only the controller has a time for it")
	g.Expect(r.Selected.Key).To(Equal("1970-01-01T00:01:38Z"))
	g.Expect(*r.Policy.Agrees).To(BeTrue())
	g.Expect(r.Rejections).To(ConsistOf(And(HaveField("Cause", explain.Cause("NoTime")),
		HaveField("Examples", []string{"d"}), HaveField("Reason", "listed, but the registry has no image for it"))))
	g.Expect(r.Tags).To(And(HaveField("Candidates", 2), HaveField("Unranked", 1), HaveField("Rejected", 1)))
	var notes []string
	for _, note := range r.Notes {
		if note.Reason == explain.NoteTimesFrom || note.Reason == explain.NoteTimesUnknown {
			notes = append(notes, note.Message)
		}
	}
	g.Expect(notes).To(Equal([]string{
		"1 candidate, such as a: the time of creation is according to its annotation org.opencontainers.image.created",
		"1 candidate, such as b: the time of creation is according to its label org.opencontainers.image.created",
		"1 candidate with an image that does not state when it was created: ordered by when the controller first saw the tag, " +
			"which only the controller records, and not ranked here",
	}))

	c.Policy.Status.LatestRef.Tag = "c"
	r = c.Explain(l, explain.Options{Now: now})
	c.Compare(r, l)
	g.Expect(r.Policy.Agrees).To(BeNil(), "the rank of the tag in the status is not known")
	g.Expect(r.Notes).To(ContainElement(And(HaveField("Reason", explain.NoteDiffers), HaveField("Message", HaveSuffix("whose rank among the others is not known here")))))
}
