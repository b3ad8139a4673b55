// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// selectedBefore sets the history of a policy, newest first, from references such as "1.0.0" or
// "1.0.0@sha256:a" or "other:1.0.0".
func selectedBefore(c *explain.Case, references ...string) {
	for i, reference := range references {
		tag, digest, _ := strings.Cut(reference, "@")
		name, other, found := strings.Cut(tag, ":")
		if !found {
			name, other = app, tag
		}
		c.Policy.Status.History = append(c.Policy.Status.History, v1.HistoryEntry{
			Name: name, Tag: other, Digest: digest, Reason: v1.SelectedNewTag, SelectedAt: &metav1.Time{Time: now.Add(-time.Duration(i) * time.Hour)},
		})
	}
	latest := c.Policy.Status.History[0]
	c.Policy.Status.LatestRef = image.NewRef(latest.Name, latest.Tag, latest.Digest)
}

func TestHistory_PrintsHowToGoBack(t *testing.T) {
	tags := []string{"1.0.0", "1.1.0", "1.2.0", "2.0.0", "dev-1"}
	for _, tt := range []struct {
		reason  string
		change  func(c *explain.Case, l *explain.Listing)
		history []string
		to      string
		exclude []string // nil if there is no command
		message string
	}{
		{"one tag ranks above", nil, []string{"1.2.0", "1.1.0"}, "1.1.0", []string{"1.2.0"}, "suspend the policy once it has selected"},
		{"tags that were never selected rank above", nil, []string{"1.2.0", "1.0.0"}, "1.0.0", []string{"1.2.0", "1.1.0"}, ""},
		{"present items are kept", func(c *explain.Case, _ *explain.Listing) { c.Policy.Spec.Exclude = []string{"1.2.0", "0.1.0"} },
			[]string{"1.1.0", "1.0.0"}, "1.0.0", []string{"1.2.0", "0.1.0", "1.1.0"}, ""},
		{"the tag itself is excluded", func(c *explain.Case, _ *explain.Listing) { c.Policy.Spec.Exclude = []string{"1.2.0"} },
			[]string{"1.1.0", "1.2.0"}, "1.2.0", []string{}, ""},
		{"the reflection of the digest changed meanwhile", nil, []string{"1.2.0@sha256:b", "1.2.0", "1.1.0"}, "1.1.0", []string{"1.2.0"}, ""},
		{"an unlisted tag ranks above", func(_ *explain.Case, l *explain.Listing) { l.Unlisted = "1.3.0" },
			[]string{"1.3.0", "1.1.0"}, "1.1.0", []string{"1.3.0", "1.2.0"}, ""},
		{"gates that are not evaluated", func(c *explain.Case, _ *explain.Listing) { c.Policy.Spec.Platforms = []string{"linux/amd64"} },
			[]string{"1.2.0", "1.1.0"}, "1.1.0", []string{"1.2.0"}, "whether 1.1.0 passes the gates is not known: --gates --tag 1.1.0 evaluates it"},
		{"a gate rejects it", func(c *explain.Case, _ *explain.Listing) {
			c.Policy.Spec.Platforms = []string{"linux/amd64"}
			c.Policy.Status.Candidates = []v1.CandidateStatus{{Tag: "1.1.0", Verdict: v1.CandidateRejected, Gate: v1.GatePlatforms, Message: "is of plan9"}}
		}, []string{"1.2.0", "1.1.0"}, "1.1.0", nil, "1.1.0 does not pass the gates: rejected by spec.platforms: is of plan9"},
		{"the digest moved", nil, []string{"1.2.0@sha256:b", "1.2.0@sha256:a"}, "1.2.0", nil, "spec.exclude takes tags, not digests: push " + app + "@sha256:a under that tag again"},
		{"another image", nil, []string{"1.2.0", "old:1.2.0"}, "1.2.0", nil, "set spec.imageRepositoryRef of the policy to an ImageRepository of old"},
		{"the tag is gone", nil, []string{"1.2.0", "1.3.0"}, "1.3.0", nil, "1.3.0 is not in the registry anymore: push it again"},
		{"the rule changed", nil, []string{"1.2.0", "2.0.0"}, "2.0.0", nil, `2.0.0 is outside the range "1.x"`},
		{"the exclusion list changed", nil, []string{"1.2.0", "dev-1"}, "dev-1", nil, `dev-1 is excluded by spec.exclusionList[0] "^dev-" of the ImageRepository`},
		{"it ranks first already", nil, []string{"1.1.0", "1.2.0"}, "1.2.0", nil, "1.2.0 ranks first already"},
		{"it ranks first already, and the policy is suspended", func(c *explain.Case, _ *explain.Listing) { c.Policy.Spec.Suspend = true },
			[]string{"1.1.0", "1.2.0"}, "1.2.0", nil, "but the policy is suspended: set spec.suspend to false"},
		{"only a part of the tags is known", func(_ *explain.Case, l *explain.Listing) { l.Partial = true },
			[]string{"1.2.0", "1.1.0"}, "1.1.0", nil, "leave --from-status out"},
		{"too many tags rank above", func(_ *explain.Case, l *explain.Listing) {
			for i := range 256 {
				l.Tags = append(l.Tags, fmt.Sprintf("1.3.%d", i))
			}
		}, []string{"1.3.255", "1.1.0"}, "1.1.0", nil, "spec.exclude would need 257 items, and takes 256: narrow spec.policy or spec.filterTags"},
		{"first-seen times are not known", func(c *explain.Case, _ *explain.Listing) {
			c.Policy.Spec.Policy = v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: v1.TimeFirstSeen}}
		}, []string{"1.2.0", "1.1.0"}, "1.1.0", nil, "add 1.2.0 to spec.exclude, and repeat that"},
		{"creation times were not read", func(c *explain.Case, _ *explain.Listing) {
			c.Policy.Spec.Policy = v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: v1.TimeCreated}}
		}, []string{"1.2.0", "1.1.0"}, "1.1.0", nil, "add --gates, which reads them"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			c, l := newCase(t, "", tags...), explain.Listing{Tags: tags}
			selectedBefore(c, tt.history...)
			if tt.change != nil {
				tt.change(c, &l)
			}
			g.Expect(c.Compile()).To(Succeed())
			g.Expect(c.SelectFromStatus()).To(Succeed())
			l.Source = explain.FromRegistry
			r := c.Explain(l, explain.Options{History: true, Now: now})
			g.Expect(r.History.Entries).To(HaveLen(len(tt.history)))
			g.Expect(r.History.Entries[1].Age).To(Equal("60m"))
			back := r.History.Rollback
			g.Expect(back.To.Tag).To(Equal(tt.to))
			g.Expect(back.Exclude).To(Equal(tt.exclude))
			g.Expect(back.Command != "").To(Equal(tt.exclude != nil))
			g.Expect(back.Message).To(ContainSubstring(tt.message))
		})
	}
}

// TestHistory_CommandSelectsPrevious applies the excluded tags to random lists.
func TestHistory_CommandSelectsPrevious(t *testing.T) {
	for range 200 {
		g := NewWithT(t)
		var tags []string
		for range 2 + rand.IntN(20) {
			tags = append(tags, fmt.Sprintf("%s%d.%d.%d", []string{"", "v"}[rand.IntN(2)], rand.IntN(3), rand.IntN(5), rand.IntN(5)))
		}
		c := newCase(t, "")
		c.Policy.Spec.Policy.SemVer.Range = "*"
		selectedBefore(c, tags[0], tags[1])
		r := explainAndCompare(t, c, explain.Options{History: true}, explain.Listing{Tags: tags})
		if tags[0] == tags[1] {
			g.Expect(r.History.Rollback).To(BeNil())
			continue
		}
		if back := r.History.Rollback; back.Command != "" {
			c.Policy.Spec.Exclude = back.Exclude
		}
		rule, err := selection.Compile(&c.Policy.Spec)
		g.Expect(err).NotTo(HaveOccurred())
		choice, _ := rule.Select(tags)
		g.Expect(choice.Tag).To(Equal(tags[1]), "%v", tags)
	}
}

func TestHistory_PrintsShellCommand(t *testing.T) {
	c := newCase(t, "")
	selectedBefore(c, "1.2.0", "1.1.0")
	r := explainAndCompare(t, c, explain.Options{History: true}, explain.Listing{Tags: []string{"1.1.0", "1.2.0"}})
	NewWithT(t).Expect(r.History.Rollback.Command).To(Equal(
		`kubectl patch imagepolicy app -n apps --type merge -p '{"spec":{"exclude":["1.2.0"]}}'`))
}

// TestHistory_WithoutEntries checks an object of an older controller: the image before is known from
// observedPreviousRef.
func TestHistory_WithoutEntries(t *testing.T) {
	g := NewWithT(t)
	c := newCase(t, "1.2.0")
	c.Policy.Status.ObservedPreviousRef = image.NewRef(app, "1.1.0", "")
	r := explainAndCompare(t, c, explain.Options{History: true}, explain.Listing{Tags: []string{"1.1.0", "1.2.0"}})
	g.Expect(r.History.Entries).To(BeEmpty())
	g.Expect(r.History.Rollback.Exclude).To(Equal([]string{"1.2.0"}))
	g.Expect(r.Notes).To(ContainElement(And(HaveField("Reason", explain.NoteNoHistory), HaveField("Message", ContainSubstring("the next change of the latest image begins it")))))
	c.Policy.Status.ObservedPreviousRef, c.Policy.Status.LatestRef = nil, nil
	r = explainAndCompare(t, c, explain.Options{History: true}, explain.Listing{Tags: []string{"1.1.0"}})
	g.Expect(r.History.Rollback).To(BeNil())
	g.Expect(r.Notes).To(ContainElement(HaveField("Message", ContainSubstring("the policy selected no image yet"))))
	g.Expect(explainAndCompare(t, c, explain.Options{}, explain.Listing{}).History).To(BeNil(), "without the option")
}
