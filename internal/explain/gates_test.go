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

// gated returns a case with gates, of which the controller told these candidates.
func gated(t *testing.T, latest string, told ...v1.CandidateStatus) *explain.Case {
	t.Helper()
	c := newCase(t, latest, "1.0.0", "1.1.0", "1.2.0")
	c.Policy.Spec.Platforms = []string{"linux/amd64", "linux/arm64"}
	c.Policy.Status.Candidates = told
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

func noted(r *explain.Result) []string {
	var all []string
	for _, note := range r.Notes {
		all = append(all, note.Reason)
	}
	return all
}

// parted is what became of the ranking, in one line.
func parted(r *explain.Result) string {
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

// TestExplain_UsesVerdictsFromStatus: what the controller judged is told, and what it selected
// by that agrees with its status. What it did not judge is not guessed.
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
		{"a lower one passed", gated(t, "1.1.0", rejected("1.2.0"), passed("1.1.0")), all, "1 1.2.0 Rejected, selected 2 1.1.0 Passed, 3 1.0.0", true, explain.ByController, nil},
		{"one ripens", gated(t, "1.1.0", pending("1.2.0"), passed("1.1.0")), all, "1 1.2.0 Pending, selected 2 1.1.0 Passed, 3 1.0.0", true, explain.ByController, nil},
		{"the best one passed", gated(t, "1.2.0", passed("1.2.0")), all, "selected 1 1.2.0 Passed, 2 1.1.0, 3 1.0.0", true, explain.ByController, nil},
		{"none passed", gated(t, "", rejected("1.2.0"), rejected("1.1.0"), rejected("1.0.0")), all,
			"1 1.2.0 Rejected, 2 1.1.0 Rejected, 3 1.0.0 Rejected, nothing", true, explain.ByController, []string{explain.NoteNothingReflected}},
		{"a new one was not judged yet", gated(t, "1.1.0", rejected("1.2.0"), passed("1.1.0")), append(all, "1.3.0"),
			"selected 1 1.3.0 NotEvaluated, 2 1.2.0, 3 1.1.0, 4 1.0.0", false, explain.ByController,
			[]string{explain.NoteNotJudged, explain.NoteDiffers, explain.NoteListChanged, explain.NoteScanToCome}},
		{"the controller has not judged anything", gated(t, "1.2.0"), all, "selected 1 1.2.0 NotEvaluated, 2 1.1.0, 3 1.0.0", true, explain.ByNobody, []string{explain.NoteNotJudged}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			r := explained(t, tt.c, explain.Options{Top: 5}, explain.Listing{Tags: tt.tags})
			g.Expect(parted(r)).To(BeComparableTo(tt.want))
			g.Expect(noted(r)).To(BeComparableTo(tt.notes), "notes")
			g.Expect(*r.Policy.Agrees).To(Equal(tt.agrees), "agrees")
			g.Expect(r.Gates.EvaluatedBy).To(Equal(tt.by), "agrees")
		})
	}
}

// TestExplain_IgnoresOutdatedVerdicts are about other gates, or another image.
func TestExplain_IgnoresOutdatedVerdicts(t *testing.T) {
	for reason, change := range map[string]func(*explain.Case){
		"the gates were changed since":  func(c *explain.Case) { c.Policy.Generation = 2 },
		"the image was replaced since":  func(c *explain.Case) { c.Policy.Status.LatestRef.Name = "other" },
		"files may be from some time":   func(c *explain.Case) { c.PolicyFile = "all.yaml" },
		"there are none, as in any new": func(c *explain.Case) { c.Policy.Status.Candidates = nil },
	} {
		t.Run(reason, func(t *testing.T) {
			g := NewWithT(t)
			c := gated(t, "1.1.0", rejected("1.2.0"), passed("1.1.0"))
			change(c)
			g.Expect(c.Compile()).To(Succeed())
			r := c.Explain(explain.Listing{Source: explain.FromRegistry, Tags: []string{"1.1.0", "1.2.0"}}, explain.Options{Now: now, Top: 5})
			g.Expect(parted(r)).To(Equal("selected 1 1.2.0 NotEvaluated, 2 1.1.0"))
		})
	}
}

// TestExplain_HandlesTruncatedCandidates: a status tells of eight candidates, although more were judged.
func TestExplain_HandlesTruncatedCandidates(t *testing.T) {
	var told []v1.CandidateStatus
	for minor := 20; minor > 13; minor-- {
		told = append(told, rejected(fmt.Sprintf("1.%d.0", minor)))
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
		"those between were rejected":       {passed("1.3.0"), tags, "selected 18 1.3.0 Passed"},
		"all were rejected":                 {rejected("1.0.0"), tags, "nothing"},
		"a new one on top was not":          {passed("1.3.0"), slices.Concat(tags, []string{"1.21.0"}), "selected 1 1.21.0 NotEvaluated"},
		"nor one that was told among them":  {passed("1.3.0"), slices.Concat(tags, []string{"1.18.1"}), "selected 3 1.18.1 NotEvaluated"},
		"the last need not be the very one": {rejected("1.13.0"), tags[:15], "nothing"},
	} {
		t.Run(reason, func(t *testing.T) {
			g := NewWithT(t)
			r := explained(t, gated(t, "1.3.0", append(told, tt.last)...), explain.Options{}, explain.Listing{Tags: tt.tags})
			g.Expect(parted(r)).To(HaveSuffix(tt.want))
		})
	}
}

// TestExplain_ReportsRetainedImage: the tag that is selected was moved to an image that does not pass. The
// status has the digest that passed, and that is as it should be.
func TestExplain_ReportsRetainedImage(t *testing.T) {
	g := NewWithT(t)
	kept := rejected("1.2.0")
	kept.Verdict, kept.Message = v1.CandidateRetained, "does not provide linux/arm64; sha256:old, which passed before, stays selected"
	c := gated(t, "1.2.0", kept)
	c.Policy.Status.LatestRef.Digest = "sha256:old"
	r := explained(t, c, explain.Options{Tag: "1.2.0"}, explain.Listing{Tags: []string{"1.0.0", "1.1.0", "1.2.0"}})
	g.Expect(parted(r)).To(Equal("selected 1 1.2.0 Retained"))
	g.Expect(r.Selected.Digest).To(Equal("sha256:old"))
	g.Expect(*r.Policy.Agrees).To(BeTrue())
	g.Expect(r.Tag.Verdict).To(Equal(explain.Selected))
	g.Expect(r.Tag.Judged.Digest).To(Equal("sha256:1.2.0"), "which the tag points at")
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
		{v1.ImageVerification{Provider: "notation", SecretRef: secret}, "as the trust policy in Secret 'keys' demands, with notation"},
		{v1.ImageVerification{Provider: "cosign", TrustedRootSecretRef: secret, MatchOIDCIdentity: []v1.OIDCIdentityMatch{
			{Issuer: "^https://i$", Subject: "^a$"}, {Issuer: "^https://j$", Subject: "^b$"},
		}}, `by "^a$" of "^https://i$" or "^b$" of "^https://j$", with cosign and the trusted root in Secret 'keys'`},
	} {
		c := gated(t, "")
		c.Policy.Spec.Verify = &tt.verify
		c.Policy.Spec.MinimumAge = &metav1.Duration{Duration: 72 * time.Hour}
		r := explained(t, c, explain.Options{}, explain.Listing{Tags: []string{"1.0.0"}})
		want := &explain.Gates{Platforms: []string{"linux/amd64", "linux/arm64"}, MinimumAge: "72h", Verify: tt.want, EvaluatedBy: explain.ByNobody}
		g.Expect(r.Gates).To(BeComparableTo(want))
	}
	for d, want := range map[time.Duration]string{time.Hour: "1h", 90 * time.Minute: "1h30m", time.Minute: "1m", 90 * time.Second: "1m30s", 10 * time.Hour: "10h"} {
		c := gated(t, "")
		c.Policy.Spec.MinimumAge = &metav1.Duration{Duration: d}
		g.Expect(explained(t, c, explain.Options{}, explain.Listing{}).Gates.MinimumAge).To(Equal(want))
	}
}

// TestExplain_ExplainsTagWithGates tells what the gates made of the tag that is asked about.
func TestExplain_ExplainsTagWithGates(t *testing.T) {
	g := NewWithT(t)
	c := func() *explain.Case {
		c := gated(t, "1.1.0", rejected("1.4.0"), pending("1.3.0"), passed("1.1.0"))
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
		{"1.4.0", explain.Stopped, "is a candidate, and ranks 1; the controller says: rejected by spec.platforms: does not provide linux/arm64, only linux/amd64"},
		{"1.3.0", explain.Stopped, "is a candidate, and ranks 2; the controller says: too young: was first seen at T, and is old enough at U"},
		{"1.1.0", explain.Selected, "ranks 3 of the candidates, and is the best one that passes the gates; the controller says: passed"},
		{"1.0.0", explain.RunnerUp, `is a candidate, and ranks 4, behind 1.1.0: "1.1.0" is a higher version than "1.0.0"; its image was not judged`},
		{"1.2.0", explain.NotListed, "is not in the registry; it would be selected if its image passes the gates"},
		{"1.0.1", explain.NotListed, `is not in the registry; it would be a candidate, behind 1.1.0: "1.1.0" is a higher version than "1.0.1"`},
	} {
		r := explained(t, c(), explain.Options{Tag: tt.tag}, explain.Listing{Tags: tags})
		g.Expect(r.Tag.Verdict).To(Equal(tt.verdict), "%s", tt.tag)
		g.Expect(r.Tag.Reason).To(Equal(tt.reason), "%s", tt.tag)
	}
	r := explained(t, c(), explain.Options{}, explain.Listing{Tags: tags})
	want := []explain.Rejection{{Cause: "HeldBack", Reason: "held back by spec.exclude", Count: 1, Examples: []string{"1.5.0"}}}
	g.Expect(r.Rejections).To(BeComparableTo(want), "rejections")
}

// TestExplain_PrefersOwnGateResultsToStatus count in place of what the status says.
func TestExplain_PrefersOwnGateResultsToStatus(t *testing.T) {
	g := NewWithT(t)
	c := gated(t, "1.1.0", rejected("1.2.0"), passed("1.1.0"))
	tags := []string{"1.0.0", "1.1.0", "1.2.0"}
	trials := &explain.GateResults{By: explain.ByExplain, Complete: true, Evaluated: []v1.CandidateStatus{passed("1.2.0")}}
	r := explained(t, c, explain.Options{GateResults: trials}, explain.Listing{Tags: tags})
	g.Expect(parted(r)).To(Equal("selected 1 1.2.0 Passed"))
	g.Expect(*r.Policy.Agrees).To(BeFalse())
	g.Expect(r.Notes).To(ContainElement(HaveField("Message", ContainSubstring("the controller judged 1.2.0 otherwise, when it last looked: rejected by spec.platforms"))))

	trials = &explain.GateResults{By: explain.ByExplain, Evaluated: []v1.CandidateStatus{rejected("1.2.0")}}
	r = explained(t, c, explain.Options{GateResults: trials, Top: 5}, explain.Listing{Tags: tags})
	g.Expect(parted(r)).To(Equal("1 1.2.0 Rejected, nothing"), "what was not judged is not selected")
	g.Expect(noted(r)).To(ContainElement(explain.NoteNotAllJudged))
}

// newest returns a case whose policy compares times.
func newest(t *testing.T, by v1.TimeSource, latest string) *explain.Case {
	t.Helper()
	c := newCase(t, latest, "a", "b", "c")
	c.Policy.Spec.Policy = v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: by}}
	c.Policy.Spec.FilterTags = &v1.TagFilter{Pattern: "^[a-y]$"}
	NewWithT(t).Expect(c.Compile()).To(Succeed())
	return c
}

// TestExplain_RanksNothingWithoutTimes: no order is made up. What the status says is selected.
func TestExplain_RanksNothingWithoutTimes(t *testing.T) {
	for by, says := range map[v1.TimeSource]string{v1.TimeFirstSeen: "known to the controller only", v1.TimeCreated: "--gates reads the times of all 3 tags"} {
		g := NewWithT(t)
		c := newest(t, by, "b")
		g.Expect(c.ProvideStatus()).To(Succeed())
		l := explain.Listing{Source: explain.FromRegistry, Tags: []string{"a", "b", "c", "z"}}
		r := c.Explain(l, explain.Options{Now: now, Top: 5, Tag: "c", All: true})
		c.Compare(r, l)
		g.Expect(r.Selected).To(Equal(&explain.Candidate{Rank: 1, Tag: "b"}), "without a time that is none")
		g.Expect(r.RunnersUp).To(BeEmpty())
		g.Expect(r.Tags).To(And(HaveField("Listed", 4), HaveField("Candidates", 1), HaveField("Unranked", 2), HaveField("Rejected", 1)))
		g.Expect(r.Rejected).To(ConsistOf(HaveField("Tag", "z")))
		g.Expect(r.Policy.Agrees).To(BeNil(), "nothing was compared")
		g.Expect(r.Tag).To(And(HaveField("Verdict", explain.Unranked), HaveField("Reason", "is a candidate, but how it ranks is not known here")))
		g.Expect(r.Notes).To(ContainElement(HaveField("Message", ContainSubstring(says))))

		c = newest(t, by, "")
		g.Expect(c.ProvideStatus()).To(Succeed())
		g.Expect(c.Explain(l, explain.Options{Now: now}).Selected).To(BeNil(), "nor is a tag")

		c = newest(t, by, "b")
		c.PolicyFile = "p.yaml"
		g.Expect(c.ProvideStatus()).To(MatchError(ContainSubstring("p.yaml: ImagePolicy 'apps/app': policy.newest compares when")))
	}
}

func TestExplain_RanksByProvidedTimes(t *testing.T) {
	g := NewWithT(t)
	c := newest(t, v1.TimeCreated, "b")
	g.Expect(c.Timed([]string{"z", "c", "dev-1", "b", "a"})).To(ConsistOf("a", "b", "c"), "what is excluded or filtered out costs nothing")
	c.ProvideCreated(map[string]admission.ImageInfo{
		"a": {Digest: "d", Created: 97, CreatedBy: admission.CreatedByAnnotation},
		"b": {Digest: "d", Created: 98, CreatedBy: admission.CreatedByLabel},
		"c": {Digest: "d", Created: admission.CreatedUnsaid},
		"d": {Created: admission.CreatedUnsaid},
	})
	l := explain.Listing{Source: explain.FromRegistry, Tags: []string{"a", "b", "c", "d"}}
	r := c.Explain(l, explain.Options{Now: now, Top: 5, Tag: "c"})
	c.Compare(r, l)
	g.Expect(parted(r)).To(Equal("selected 1 b , 2 a"))
	g.Expect(r.Tag.Verdict).To(Equal(explain.Unranked), "the controller has a time for it")
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
			"which is known to the controller only, and not ranked here",
	}))

	c.Policy.Status.LatestRef.Tag = "c"
	r = c.Explain(l, explain.Options{Now: now})
	c.Compare(r, l)
	g.Expect(r.Policy.Agrees).To(BeNil(), "the status may be right")
	g.Expect(r.Notes).To(ContainElement(And(HaveField("Reason", explain.NoteDiffers), HaveField("Message", HaveSuffix("whose rank among the others is not known here")))))
}
