// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

const app = "registry.example.com/app"

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// newCase returns a policy and a repository as in a healthy cluster: the status has the last scan
// of the tags, and latest as the selected tag.
func newCase(t *testing.T, latest string, scanned ...string) *explain.Case {
	t.Helper()
	snapshot := scan.Next(scan.Snapshot{}, app, scanned, now)
	ready := []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: meta.SucceededReason, Message: "fine"}}
	c := &explain.Case{
		Policy: &v1.ImagePolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"},
			Spec:       v1.ImagePolicySpec{Policy: v1.ImagePolicyChoice{SemVer: &v1.SemVerPolicy{Range: "1.x"}}},
			Status:     v1.ImagePolicyStatus{Conditions: ready},
		},
		Repository: &v1.ImageRepository{
			ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"},
			Spec: v1.ImageRepositorySpec{Image: app, Interval: metav1.Duration{Duration: 5 * time.Minute},
				ExclusionList: []string{"^dev-", `\.sig$`}},
			Status: v1.ImageRepositoryStatus{
				Conditions: ready, ObservedImage: app, ObservedExclusionList: []string{"^dev-", `\.sig$`},
				LastScanResult: &v1.ScanResult{
					Revision: snapshot.Revision(), TagCount: len(scanned), ScanTime: metav1.NewTime(now.Add(-3 * time.Minute)),
				},
			},
		},
	}
	if latest != "" {
		c.Policy.Status.LatestRef = image.NewRef(app, latest, "")
	}
	return c
}

// explainAndCompare compiles the case, explains the tags and compares them with the status.
func explainAndCompare(t *testing.T, c *explain.Case, o explain.Options, l explain.Listing) *explain.Result {
	t.Helper()
	NewWithT(t).Expect(c.Compile()).To(Succeed())
	o.Now = now
	if l.Source == "" {
		l.Source = explain.FromRegistry
	}
	r := c.Explain(l, o)
	c.Compare(r, l)
	return r
}

func TestExplain_CountsEveryTag(t *testing.T) {
	g := NewWithT(t)
	tags := []string{"1.2.0", "1.10.0", "1.0.0", "2.0.0", "1.11.0-rc.1", "latest", "dev-1", "dev-2", "a.sig", "1.0.0"}
	r := explainAndCompare(t, newCase(t, "1.10.0"), explain.Options{Top: 1, All: true}, explain.Listing{Tags: tags, Invalid: 2})
	want := explain.Tags{Source: explain.FromRegistry, Complete: true, Listed: 9, Invalid: 2, Excluded: 3, Candidates: 3, Rejected: 3,
		Revision: r.Tags.Revision}
	g.Expect(r.Tags).To(BeComparableTo(want), "tags")
	g.Expect(r.Selected).To(BeComparableTo(&explain.Candidate{Rank: 1, Tag: "1.10.0", Key: "1.10.0"}), "selected")
	g.Expect(r.RunnersUp).To(BeComparableTo([]explain.Candidate{{Rank: 2, Tag: "1.2.0", Key: "1.2.0"}}), "runners-up, limited to one")
	groups := []explain.Rejection{
		{Cause: explain.CauseExcluded, Item: new(0), Reason: `excluded by spec.exclusionList[0] "^dev-"`, Count: 2, Examples: []string{"dev-2", "dev-1"}},
		{Cause: explain.CauseExcluded, Item: new(1), Reason: `excluded by spec.exclusionList[1] "\\.sig$"`, Count: 1, Examples: []string{"a.sig"}},
		{Cause: "NoVersion", Reason: "not a version (MAJOR.MINOR.PATCH)", Count: 1, Examples: []string{"latest"}},
		{Cause: "Prerelease", Reason: `a prerelease, and the range "1.x" takes none`, Count: 1, Examples: []string{"1.11.0-rc.1"}},
		{Cause: "OutOfRange", Reason: `outside the range "1.x"`, Count: 1, Examples: []string{"2.0.0"}},
	}
	g.Expect(r.Rejections).To(BeComparableTo(groups), "rejections")
	var rejected []string
	for _, tag := range r.Rejected {
		rejected = append(rejected, tag.Tag+" "+string(tag.Cause))
	}
	g.Expect(rejected).To(BeComparableTo([]string{"1.11.0-rc.1 Prerelease", "2.0.0 OutOfRange", "a.sig Excluded", "dev-1 Excluded", "dev-2 Excluded",
		"latest NoVersion"}), "all rejected tags")
}

// TestExplain_DescribesEveryCause checks the text and the count of causes of numerical policies.
func TestExplain_DescribesEveryCause(t *testing.T) {
	g := NewWithT(t)
	c := newCase(t, "")
	c.Policy.Spec.Policy = v1.ImagePolicyChoice{Numerical: &v1.NumericalPolicy{}}
	c.Policy.Spec.FilterTags = &v1.TagFilter{Pattern: "^n(.*)", Extract: "$1"}
	r := explainAndCompare(t, c, explain.Options{}, explain.Listing{Tags: []string{"x", "nope", "n1"}})
	g.Expect(r.Rejections).To(HaveExactElements(
		HaveField("Reason", `not matched by filterTags.pattern "^n(.*)"`),
		HaveField("Reason", "not a number"),
	))
	g.Expect(r.Selected.Key).To(Equal("1"), "what is compared")
}

func TestExplain_ExplainsOneTag(t *testing.T) {
	tags := []string{"1.2.0", "1.10.0", "v1.10.0", "1.0.0", "2.0.0", "latest", "dev-1"}
	for _, tt := range []struct {
		reason string
		tag    string
		exists bool
		want   explain.TagExplanation
	}{
		{"selected tag names the one behind it", "v1.10.0", false, explain.TagExplanation{Verdict: explain.Selected, Rank: 1, Key: "v1.10.0",
			Reason: `is the winner of 4 candidates, before 1.10.0: they compare as equal, and "v1.10.0" is greater than "1.10.0" in byte order`}},
		{"runner-up names the selected tag", "1.0.0", false, explain.TagExplanation{Verdict: explain.RunnerUp, Rank: 4, Key: "1.0.0", Behind: "v1.10.0",
			Reason: `is a candidate, and ranks 4 of 4, behind v1.10.0: "v1.10.0" is a higher version than "1.0.0"`}},
		{"rejected tag", "2.0.0", false, explain.TagExplanation{Verdict: explain.Rejected, Cause: "OutOfRange",
			Reason: `is outside the range "1.x": "2.0.0" does not have same major version as "1.x"`}},
		{"excluded tag names the item of the exclusion list", "dev-1", false, explain.TagExplanation{Verdict: explain.Excluded, Cause: explain.CauseExcluded,
			Reason: `is excluded by spec.exclusionList[0] "^dev-"`}},
		{"missing tag that would be selected", "1.11.0", false, explain.TagExplanation{Verdict: explain.NotListed,
			Reason: "is not in the registry; it would be selected"}},
		{"missing tag that would be a runner-up", "1.1.0", false, explain.TagExplanation{Verdict: explain.NotListed,
			Reason: `is not in the registry; it would be a candidate, behind v1.10.0: "v1.10.0" is a higher version than "1.1.0"`}},
		{"missing tag that would be rejected", "3.0.0", false, explain.TagExplanation{Verdict: explain.NotListed, Cause: "OutOfRange",
			Reason: `is not in the registry; it is outside the range "1.x": "3.0.0" does not have same major version as "1.x"`}},
		{"existing tag that is missing from the list", "1.11.0", true, explain.TagExplanation{Verdict: explain.NotListed,
			Reason: "is in the registry, but missing from its list of tags, and only listed tags are selected; it would be selected"}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			tt.want.Tag = tt.tag
			r := explainAndCompare(t, newCase(t, "v1.10.0"), explain.Options{Tag: tt.tag, TagExists: tt.exists}, explain.Listing{Tags: tags})
			NewWithT(t).Expect(r.Tag).To(BeComparableTo(&tt.want))
		})
	}
}

func TestCompare_NotesDifferencesFromStatus(t *testing.T) {
	scanned := []string{"1.0.0", "1.1.0"}
	for _, tt := range []struct {
		reason string
		change func(*explain.Case)
		list   explain.Listing
		agrees bool
		notes  []string // reasons
		text   string
	}{
		{"status is up to date", nil, explain.Listing{}, true, nil, ""},
		{"tag was pushed after the last scan", nil, explain.Listing{Tags: append(scanned, "1.2.0")}, false,
			[]string{explain.NoteDiffers, explain.NoteListChanged, explain.NoteScanScheduled},
			"the status names registry.example.com/app:1.1.0, and not registry.example.com/app:1.2.0"},
		{"interval elapsed", func(c *explain.Case) {
			c.Repository.Status.LastScanResult.ScanTime = metav1.NewTime(now.Add(-time.Hour))
		}, explain.Listing{Tags: append(scanned, "1.2.0")}, false,
			[]string{explain.NoteDiffers, explain.NoteListChanged, explain.NoteScanDue}, "a scan is due: interval elapsed"},
		{"repository is suspended", func(c *explain.Case) { c.Repository.Spec.Suspend = true }, explain.Listing{Tags: append(scanned, "1.2.0")},
			false, []string{explain.NoteRepositorySuspended, explain.NoteDiffers, explain.NoteListChanged}, "scans of the repository are suspended"},
		{"policy is suspended", func(c *explain.Case) {
			c.Policy.Spec.Suspend, c.Policy.Status.LatestRef.Tag = true, "1.0.0"
		}, explain.Listing{}, false, []string{explain.NotePolicySuspended, explain.NoteDiffers, explain.NoteScanScheduled}, "the policy is suspended"},
		{"policy change was not observed yet", func(c *explain.Case) {
			c.Policy.Generation, c.Policy.Status.LatestRef.Tag = 2, "1.0.0"
		}, explain.Listing{}, false, []string{explain.NotePolicyNotObserved, explain.NoteDiffers, explain.NoteScanScheduled}, "last change"},
		{"exclusion list changed after the last scan", func(c *explain.Case) { c.Repository.Spec.ExclusionList = []string{"^1.1"} }, explain.Listing{},
			false, []string{explain.NoteDiffers, explain.NoteListChanged, explain.NoteScanDue}, "a scan is due: exclusion list changed"},
		{"image was replaced", func(c *explain.Case) { c.Repository.Status.ObservedImage = "other" }, explain.Listing{}, true,
			[]string{explain.NoteImageReplaced}, "those of other, which was replaced by registry.example.com/app"},
		{"repository is not ready", func(c *explain.Case) {
			c.Repository.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionFalse, Reason: "X", Message: "down"}}
		}, explain.Listing{}, true, []string{explain.NoteRepositoryNotReady}, "the repository is not ready (X): down"},
		{"policy is not ready", func(c *explain.Case) {
			c.Policy.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionFalse, Reason: "X", Message: "bad"}}
		}, explain.Listing{}, true, []string{explain.NotePolicyNotReady}, "the policy is not ready (X): bad"},
		{"nothing is selected yet", func(c *explain.Case) { c.Policy.Status.LatestRef = nil }, explain.Listing{}, false,
			[]string{explain.NoteNothingReflected, explain.NoteScanScheduled}, "names no image yet"},
		{"existing tag is missing from the list", func(c *explain.Case) { c.Policy.Status.LatestRef.Tag = "1.5.0" },
			explain.Listing{Tags: scanned, Unlisted: "1.5.0"}, true, []string{explain.NoteUnlisted}, "the registry has the tag 1.5.0, but"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			c := newCase(t, "1.1.0", scanned...)
			if tt.change != nil {
				tt.change(c)
			}
			if tt.list.Tags == nil {
				tt.list.Tags = scanned
			}
			r := explainAndCompare(t, c, explain.Options{}, tt.list)
			var reasons, messages []string
			for _, note := range r.Notes {
				reasons, messages = append(reasons, note.Reason), append(messages, note.Message)
			}
			g.Expect(reasons).To(Equal(tt.notes), "%q", messages)
			g.Expect(strings.Join(messages, "\n")).To(ContainSubstring(tt.text))
			g.Expect(*r.Policy.Agrees).To(Equal(tt.agrees))
		})
	}
}

func TestCompare_ReportsMovedDigest(t *testing.T) {
	for policy, want := range map[v1.ReflectionPolicy]string{
		v1.ReflectIfNotPresent: "IfNotPresent keeps the digest",
		v1.ReflectAlways:       "every 10m",
		v1.ReflectNever:        "the next reconcile removes the digest",
	} {
		g := NewWithT(t)
		c := newCase(t, "1.1.0", "1.1.0")
		c.Policy.Spec.DigestReflectionPolicy = policy
		c.Policy.Status.LatestRef.Digest = "sha256:old"
		g.Expect(c.Compile()).To(Succeed())
		l := explain.Listing{Source: explain.FromRegistry, Tags: []string{"1.1.0"}}
		r := c.Explain(l, explain.Options{Now: now})
		r.Selected.Digest = "sha256:new"
		c.Compare(r, l)
		g.Expect(*r.Policy.Agrees).To(BeFalse())
		g.Expect(r.Notes).To(HaveExactElements(And(HaveField("Reason", explain.NoteDigestMoved), HaveField("Message", ContainSubstring(want)))))
	}
}

func TestExplain_MarksIncompleteTagList(t *testing.T) {
	g := NewWithT(t)
	c := newCase(t, "1.1.0", "1.0.0", "1.1.0", "latest")
	r := explainAndCompare(t, c, explain.Options{}, explain.Listing{Source: explain.FromStatus, Tags: []string{"1.0.0", "1.1.0"}, Partial: true})
	g.Expect(r.Tags.Complete).To(BeFalse())
	g.Expect(r.Tags.Revision).To(BeEmpty(), "a partial list has no revision")
	g.Expect(r.Policy.Agrees).To(BeNil(), "a partial list is not compared")
	g.Expect(r.Notes).To(ConsistOf(HaveField("Message", ContainSubstring("only 2 of the 3 tags are known"))))
}

func TestExplain_ReportsLastScan(t *testing.T) {
	g := NewWithT(t)
	c := newCase(t, "1.0.0", "1.0.0")
	r := explainAndCompare(t, c, explain.Options{}, explain.Listing{Tags: []string{"1.0.0"}})
	g.Expect(*r.Repository.LastScan).To(And(HaveField("Age", "3m"), HaveField("NextIn", "2m"), HaveField("Due", ""), HaveField("TagCount", 1)))
	g.Expect(r.Repository.LastScan.Revision).To(Equal(r.Tags.Revision), "the same tags have the same revision")
}

func TestNeedsConfirmation_MatchesController(t *testing.T) {
	g := NewWithT(t)
	c := newCase(t, "1.5.0", "1.0.0")
	g.Expect(c.Compile()).To(Succeed())
	g.Expect(c.NeedsConfirmation([]string{"1.0.0"}, now)).To(Equal("1.5.0"))
	g.Expect(c.NeedsConfirmation([]string{"1.0.0", "1.5.0"}, now)).To(BeEmpty())
	g.Expect(c.NeedsConfirmation([]string{"1.6.0"}, now)).To(BeEmpty())
}

func TestCompile_ErrorsNameObjectFileAndField(t *testing.T) {
	for _, tt := range []struct {
		reason string
		change func(*explain.Case)
		want   []string
	}{
		{"range", func(c *explain.Case) { c.Policy.Spec.Policy.SemVer.Range = "one" }, []string{"p.yaml: ImagePolicy 'apps/app': spec.policy.semver.range"}},
		{"exclusion list", func(c *explain.Case) { c.Repository.Spec.ExclusionList = []string{"("} }, []string{"r.yaml: ImageRepository 'apps/app': ", "spec.exclusionList[0]"}},
		{"image", func(c *explain.Case) { c.Repository.Spec.Image = "https://x/y" }, []string{"r.yaml: ImageRepository", `remove "https://"`}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			c := newCase(t, "")
			c.PolicyFile, c.RepositoryFile = "p.yaml", "r.yaml"
			tt.change(c)
			err := c.Compile()
			for _, want := range tt.want {
				NewWithT(t).Expect(err).To(MatchError(ContainSubstring(want)))
			}
		})
	}
}

// TestExplain_DistinguishesReferrersFromImages checks that the tags of signatures, attestations
// and referrers lists get this reason, even if an item of the exclusion list matches them.
func TestExplain_DistinguishesReferrersFromImages(t *testing.T) {
	digest := "sha256-" + strings.Repeat("0a", 32)
	const reason = "is the tag of a signature, attestation or referrers list of another image, not an image: it is never selected"
	tags := []string{"1.2.0", digest, digest + ".att", digest + ".sig", "a.sig", "sha256-abc"}
	for tag, want := range map[string]explain.TagExplanation{
		digest:           {Verdict: explain.Excluded, Cause: "Referrer", Reason: reason},
		digest + ".sig":  {Verdict: explain.Excluded, Cause: "Referrer", Reason: reason},
		digest + ".sbom": {Verdict: explain.NotListed, Cause: "Referrer", Reason: "is not in the registry; it " + reason},
		"sha256-abc":     {Verdict: explain.Rejected, Cause: "NoVersion", Reason: "is not a version: it does not start with a number (MAJOR.MINOR.PATCH is needed)"},
	} {
		g := NewWithT(t)
		r := explainAndCompare(t, newCase(t, "1.2.0"), explain.Options{Tag: tag, All: true}, explain.Listing{Tags: tags})
		want.Tag = tag
		g.Expect(*r.Tag).To(Equal(want))
		g.Expect(r.Tags).To(And(HaveField("Listed", 6), HaveField("Excluded", 4), HaveField("Candidates", 1), HaveField("Rejected", 1)))
		g.Expect(r.Rejections[0]).To(Equal(explain.Rejection{
			Cause: "Referrer", Reason: "of a signature, attestation or referrers list of another image", Count: 3,
			Examples: []string{digest + ".sig", digest + ".att", digest},
		}))
		g.Expect(r.Rejected).To(ContainElement(explain.RejectedTag{Tag: digest, Cause: "Referrer", Reason: reason}))
	}
}
