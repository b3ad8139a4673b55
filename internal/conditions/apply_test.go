// SPDX-License-Identifier: Apache-2.0

package conditions

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// step is one reconcile of a timeline: the changes of its user and its worker, and its result.
type step struct {
	name   string
	edit   func(*v1.ImagePolicy)
	result Result
	err    error
}

func editSpec(p *v1.ImagePolicy) { p.Generation++ }
func requestReconcile(p *v1.ImagePolicy) {
	p.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
}

func latest(tag, digest string) func(*v1.ImagePolicy) {
	return func(p *v1.ImagePolicy) {
		p.Status.LatestRef = &v1.ImageRef{Name: "app", Image: "app", Tag: tag, Digest: digest}
	}
}

// renderTimeline runs the steps and returns, for each of them, the conditions, the outcome and the
// events.
func renderTimeline(steps []step) string {
	var b strings.Builder
	policy := &v1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Generation: 1}}
	for i, s := range steps {
		before := policy.DeepCopy()
		if s.edit != nil {
			s.edit(policy)
		}
		before.Generation, before.Annotations = policy.Generation, policy.Annotations
		outcome := Apply(before, policy, s.result, s.err, noon.Add(time.Duration(i)*time.Minute))
		fmt.Fprintf(&b, "%s:\n", s.name)
		for _, c := range policy.Status.Conditions {
			fmt.Fprintf(&b, "  %s=%s %s %q since %s\n", c.Type, c.Status, c.Reason, c.Message, c.LastTransitionTime.UTC().Format("15:04"))
		}
		fmt.Fprintf(&b, "  next: after %s, error: %v; observed: %d %q\n", outcome.After, outcome.Err,
			policy.Status.ObservedGeneration, policy.Status.LastHandledReconcileAt)
		for _, e := range outcome.Events {
			fmt.Fprintf(&b, "  event: warning=%t %s %q %v\n", e.Warning, e.Reason, e.Message, e.Metadata)
		}
	}
	return b.String()
}

func TestApply_SetsConditionsAndEvents(t *testing.T) {
	for _, tc := range []struct {
		name  string
		steps []step
		want  string
	}{{
		name: "the event about a change has its reason and the origin of the image, and that of a recovery has not",
		steps: []step{
			{name: "selected", edit: latest("1", ""), result: Result{Message: "m", Selection: Selection{Cause: v1.SelectedInitial}}},
			{name: "changed", edit: latest("2", ""), result: Result{Message: "m", Selection: Selection{v1.SelectedNewTag, "4f6b", "https://git"}}},
			{name: "an error", err: Waiting("AccessDenied", 0, errors.New("denied"))},
			{name: "recovered", result: Result{Message: "m"}},
		},
		want: `
selected:
  Ready=True Succeeded "m" since 12:00
  next: after 0s, error: <nil>; observed: 1 ""
  event: warning=false Succeeded "m" map[image.toolkit.fluxcd.io/image:app image.toolkit.fluxcd.io/reason:Initial image.toolkit.fluxcd.io/tag:1]
changed:
  Ready=True Succeeded "m" since 12:00
  next: after 0s, error: <nil>; observed: 1 ""
  event: warning=false Succeeded "m" map[image.toolkit.fluxcd.io/image:app image.toolkit.fluxcd.io/reason:NewTag image.toolkit.fluxcd.io/revision:4f6b image.toolkit.fluxcd.io/source:https://git image.toolkit.fluxcd.io/tag:2]
an error:
  Ready=False AccessDenied "denied" since 12:02
  next: after 0s, error: <nil>; observed: 1 ""
  event: warning=true AccessDenied "denied" map[]
recovered:
  Ready=True Succeeded "m" since 12:03
  next: after 0s, error: <nil>; observed: 1 ""
  event: warning=false Succeeded "m" map[image.toolkit.fluxcd.io/image:app image.toolkit.fluxcd.io/tag:2]
`,
	}, {
		name: "a new policy waits for its repository without a warning, then reports its first result once",
		steps: []step{
			{name: "not scanned yet", err: Waiting("DependencyNotReady", time.Second, errors.New("no tags yet"))},
			{name: "selected", edit: latest("1", ""), result: Result{Message: "resolved to 1"}},
			{name: "nothing new", result: Result{Message: "resolved to 1"}},
			{name: "requested", edit: requestReconcile, result: Result{Message: "resolved to 1"}},
		},
		want: `
not scanned yet:
  Ready=False DependencyNotReady "no tags yet" since 12:00
  next: after 1s, error: <nil>; observed: 1 ""
selected:
  Ready=True Succeeded "resolved to 1" since 12:01
  next: after 0s, error: <nil>; observed: 1 ""
  event: warning=false Succeeded "resolved to 1" map[image.toolkit.fluxcd.io/image:app image.toolkit.fluxcd.io/tag:1]
nothing new:
  Ready=True Succeeded "resolved to 1" since 12:01
  next: after 0s, error: <nil>; observed: 1 ""
requested:
  Ready=True Succeeded "resolved to 1" since 12:01
  next: after 0s, error: <nil>; observed: 1 "now"
`,
	}, {
		name: "a lasting failure is reported once, and the recovery once",
		steps: []step{
			{name: "selected", edit: latest("1", ""), result: Result{Message: "resolved to 1"}},
			{name: "registry down", err: Retry("ReadOperationFailed", errors.New("refused"))},
			{name: "still down", err: fmt.Errorf("wrapped: %w", Retry("ReadOperationFailed", errors.New("timeout")))},
			{name: "recovered", result: Result{Message: "resolved to 1"}},
		},
		want: `
selected:
  Ready=True Succeeded "resolved to 1" since 12:00
  next: after 0s, error: <nil>; observed: 1 ""
  event: warning=false Succeeded "resolved to 1" map[image.toolkit.fluxcd.io/image:app image.toolkit.fluxcd.io/tag:1]
registry down:
  Ready=False ReadOperationFailed "refused" since 12:01
  Reconciling=True ProgressingWithRetry "refused" since 12:01
  next: after 0s, error: refused; observed: 1 ""
  event: warning=true ReadOperationFailed "refused" map[]
still down:
  Ready=False ReadOperationFailed "wrapped: timeout" since 12:01
  Reconciling=True ProgressingWithRetry "wrapped: timeout" since 12:01
  next: after 0s, error: wrapped: timeout; observed: 1 ""
recovered:
  Ready=True Succeeded "resolved to 1" since 12:03
  next: after 0s, error: <nil>; observed: 1 ""
  event: warning=false Succeeded "resolved to 1" map[image.toolkit.fluxcd.io/image:app image.toolkit.fluxcd.io/tag:1]
`,
	}, {
		name: "an invalid spec stalls, and each invalid edit is reported",
		steps: []step{
			{name: "invalid", err: Stalled("InvalidPolicy", errors.New("bad range"))},
			{name: "reconciled again", err: Stalled("InvalidPolicy", errors.New("bad range"))},
			{name: "edited, still invalid", edit: editSpec, err: Stalled("InvalidPolicy", errors.New("bad range"))},
			{name: "edited, valid", edit: func(p *v1.ImagePolicy) { editSpec(p); latest("1", "")(p) }, result: Result{Message: "resolved to 1"}},
		},
		want: `
invalid:
  Ready=False InvalidPolicy "bad range" since 12:00
  Stalled=True InvalidPolicy "bad range" since 12:00
  next: after 0s, error: <nil>; observed: 1 ""
  event: warning=true InvalidPolicy "bad range" map[]
reconciled again:
  Ready=False InvalidPolicy "bad range" since 12:00
  Stalled=True InvalidPolicy "bad range" since 12:00
  next: after 0s, error: <nil>; observed: 1 ""
edited, still invalid:
  Ready=False InvalidPolicy "bad range" since 12:00
  Stalled=True InvalidPolicy "bad range" since 12:00
  next: after 0s, error: <nil>; observed: 2 ""
  event: warning=true InvalidPolicy "bad range" map[]
edited, valid:
  Ready=True Succeeded "resolved to 1" since 12:03
  next: after 0s, error: <nil>; observed: 3 ""
  event: warning=false Succeeded "resolved to 1" map[image.toolkit.fluxcd.io/image:app image.toolkit.fluxcd.io/tag:1]
`,
	}, {
		name: "KeepReady keeps the object ready only for the same generation",
		steps: []step{
			{name: "selected", edit: latest("1", ""), result: Result{Message: "resolved to 1"}},
			{name: "store lost", result: Result{Message: "stays 1"}, err: KeepReady("DependencyNotReady", time.Minute, errors.New("no tags"))},
			{name: "edited", edit: editSpec, result: Result{Message: "stays 1"}, err: KeepReady("DependencyNotReady", time.Minute, errors.New("no tags"))},
		},
		want: `
selected:
  Ready=True Succeeded "resolved to 1" since 12:00
  next: after 0s, error: <nil>; observed: 1 ""
  event: warning=false Succeeded "resolved to 1" map[image.toolkit.fluxcd.io/image:app image.toolkit.fluxcd.io/tag:1]
store lost:
  Ready=True Succeeded "stays 1" since 12:00
  next: after 1m0s, error: <nil>; observed: 1 ""
edited:
  Ready=False DependencyNotReady "no tags" since 12:02
  next: after 1m0s, error: <nil>; observed: 2 ""
  event: warning=true DependencyNotReady "no tags" map[]
`,
	}, {
		name: "a change of the digest alone is reported: if it appears, changes or disappears",
		steps: []step{
			{name: "without", edit: latest("1", ""), result: Result{Message: "m"}},
			{name: "appears", edit: latest("1", "d1"), result: Result{Message: "m"}},
			{name: "changes", edit: latest("1", "d2"), result: Result{Message: "m"}},
			{name: "disappears", edit: latest("1", ""), result: Result{Message: "m"}},
			{name: "an error without a reason", err: errors.New("api server down")},
		},
		want: `
without:
  Ready=True Succeeded "m" since 12:00
  next: after 0s, error: <nil>; observed: 1 ""
  event: warning=false Succeeded "m" map[image.toolkit.fluxcd.io/image:app image.toolkit.fluxcd.io/tag:1]
appears:
  Ready=True Succeeded "m" since 12:00
  next: after 0s, error: <nil>; observed: 1 ""
  event: warning=false Succeeded "m" map[image.toolkit.fluxcd.io/digest:d1 image.toolkit.fluxcd.io/image:app image.toolkit.fluxcd.io/tag:1]
changes:
  Ready=True Succeeded "m" since 12:00
  next: after 0s, error: <nil>; observed: 1 ""
  event: warning=false Succeeded "m" map[image.toolkit.fluxcd.io/digest:d2 image.toolkit.fluxcd.io/image:app image.toolkit.fluxcd.io/tag:1]
disappears:
  Ready=True Succeeded "m" since 12:00
  next: after 0s, error: <nil>; observed: 1 ""
  event: warning=false Succeeded "m" map[image.toolkit.fluxcd.io/image:app image.toolkit.fluxcd.io/tag:1]
an error without a reason:
  Ready=False Failure "api server down" since 12:04
  Reconciling=True ProgressingWithRetry "api server down" since 12:04
  next: after 0s, error: api server down; observed: 1 ""
  event: warning=true Failure "api server down" map[]
`,
	}} {
		t.Run(tc.name, func(t *testing.T) {
			NewWithT(t).Expect("\n" + renderTimeline(tc.steps)).To(Equal(tc.want))
		})
	}
}

func TestApply_LeavesDeferredObjectUnchanged(t *testing.T) {
	g := NewWithT(t)
	policy := &v1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
	requestReconcile(policy)
	Apply(policy.DeepCopy(), policy, Result{Message: "resolved to 1"}, nil, noon)
	editSpec(policy)
	policy.Annotations[meta.ReconcileRequestAnnotation] = "later"
	before := policy.DeepCopy()

	busy := fmt.Errorf("wrapped: %w", Deferred(time.Second, errors.New("busy")))
	for _, err := range []error{busy, KeepReady("ReadOperationFailed", time.Hour, busy)} {
		got := Apply(before, policy, Result{Message: "stays 1"}, err, noon)
		g.Expect(got).To(Equal(Outcome{After: time.Second, SkipUpdate: true}))
		g.Expect(policy).To(Equal(before), "neither the generation nor the request is marked as handled")
	}
}

func TestApply_EmitsEventsForNewTags(t *testing.T) {
	g := NewWithT(t)
	scanned := func(revision string) *v1.ImageRepository {
		return &v1.ImageRepository{Status: v1.ImageRepositoryStatus{LastScanResult: &v1.ScanResult{Revision: revision}}}
	}
	events := func(before, after *v1.ImageRepository) []Event {
		return Apply(before, after, Result{Message: "found"}, nil, noon).Events
	}
	g.Expect(events(&v1.ImageRepository{}, scanned("r1"))).To(HaveLen(1))
	g.Expect(events(scanned("r1"), scanned("r1"))).To(BeEmpty(), "a scan without changes emits no event")
	g.Expect(events(scanned("r1"), scanned("r2"))).To(ConsistOf(
		Event{Reason: "Succeeded", Message: "found", Metadata: map[string]string{revisionKey: "r2"}}))

	suppressed := Result{Message: "found", SuppressEvent: true}
	g.Expect(Apply(scanned("r1"), scanned("r2"), suppressed, nil, noon).Events).To(BeEmpty(), "the list was already reported")
	failed := scanned("r1")
	Apply(failed.DeepCopy(), failed, Result{}, errors.New("down"), noon)
	g.Expect(Apply(failed, scanned("r2"), suppressed, nil, noon).Events).To(HaveLen(1), "a recovery is always reported")
}

func TestMarkReconciling_MarksOnlyNewGenerations(t *testing.T) {
	g := NewWithT(t)
	policy := &v1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Generation: 1}}
	g.Expect(MarkReconciling(policy, "scanning", noon)).To(BeTrue())
	g.Expect(policy.Status.Conditions).To(ConsistOf(
		And(HaveField("Type", "Ready"), HaveField("Status", metav1.ConditionUnknown), HaveField("Reason", "Progressing")),
		And(HaveField("Type", "Reconciling"), HaveField("Status", metav1.ConditionTrue)),
	))
	before := policy.DeepCopy()
	g.Expect(MarkReconciling(policy, "scanning again", noon)).To(BeFalse())
	g.Expect(policy).To(Equal(before), "a known generation keeps its conditions")
}

func TestApply_TruncatesLongMessages(t *testing.T) {
	g := NewWithT(t)
	policy := &v1.ImagePolicy{}
	Apply(policy, policy, Result{}, errors.New(strings.Repeat("ä", 40000)), noon)
	message := policy.Status.Conditions[0].Message
	g.Expect(len(message)).To(BeNumerically("<=", 32768))
	g.Expect(message).To(HaveSuffix("ä…"))
}
