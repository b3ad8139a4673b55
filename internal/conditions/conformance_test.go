// SPDX-License-Identifier: Apache-2.0

package conditions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	fluxconditions "github.com/fluxcd/pkg/runtime/conditions"
	"github.com/fluxcd/pkg/runtime/conditions/check"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/test/conformance"
)

// way is how a reconcile ends, by the name of the function that makes its error.
type way string

const (
	succeeds  way = "success"
	fails     way = "plain error"
	stalls    way = "Stalled"
	waits     way = "Waiting"
	keeps     way = "KeepReady"
	retries   way = "Retry"
	defers    way = "Deferred"
	announces way = "Begin"
)

// path is one of the ways through which objects come to their conditions.
type path struct {
	way    way
	reason string
}

// ofRegistry are the reasons of errors of internal/registry.
var ofRegistry = []string{
	v1.AuthenticationFailedReason, v1.RateLimitedReason, v1.ReadOperationFailedReason, v1.ImageURLInvalidReason, meta.FeatureGateDisabledReason,
}

// paths are all of them, with what kstatus is to say of an object that takes one
// as its first. TestPaths_CoverEveryReason finds what the code has beside them.
var paths = func() map[path]status.Status {
	all := map[path]status.Status{
		{succeeds, meta.SucceededReason}:    status.CurrentStatus,
		{announces, meta.ProgressingReason}: status.InProgressStatus,
		{fails, v1.FailureReason}:           status.InProgressStatus,
		{defers, ""}:                        status.InProgressStatus, // nothing is written

		// Nothing but a change of the object, or of one that it names, can help.
		{stalls, v1.ImageURLInvalidReason}:       status.FailedStatus,
		{stalls, v1.InvalidPolicyReason}:         status.FailedStatus,
		{stalls, v1.FailureReason}:               status.FailedStatus,
		{stalls, meta.FeatureGateDisabledReason}: status.FailedStatus,

		// Something must happen elsewhere, after which it goes on by itself.
		{waits, meta.DependencyNotReadyReason}: status.InProgressStatus,
		{waits, acl.AccessDeniedReason}:        status.InProgressStatus,
		{waits, v1.NoTagSelectedReason}:        status.InProgressStatus,
		{waits, v1.VerificationErrorReason}:    status.InProgressStatus,

		// What is needed to verify signatures can't be had.
		{retries, v1.VerificationErrorReason}: status.InProgressStatus,

		// The last result holds, where there is one of this generation.
		{keeps, meta.DependencyNotReadyReason}: status.InProgressStatus,
	}
	for _, reason := range ofRegistry { // the registry may name a time, the result may hold, or it is just tried again
		for _, way := range []way{waits, keeps, retries} {
			all[path{way, reason}] = status.InProgressStatus
		}
	}
	return all
}()

// examples are a path for each way.
var examples = func() []path {
	one := map[way]path{}
	for p := range paths {
		one[p.way] = p
	}
	return slices.Collect(maps.Values(one))
}()

// take leads an object along the path, as a reconcile does.
func (p path) take(obj Object) Outcome {
	before := obj.(client.Object).DeepCopyObject().(Object)
	trouble := errors.New("trouble")
	var err error
	switch p.way {
	case announces:
		return Outcome{SkipUpdate: !MarkReconciling(obj, "looking", noon)}
	case succeeds:
		result(obj)
	case stalls:
		err = Stalled(p.reason, trouble)
	case waits:
		err = Waiting(p.reason, time.Minute, trouble)
	case keeps:
		err = KeepReady(p.reason, time.Minute, trouble)
	case retries:
		err = Retry(p.reason, trouble)
	case defers:
		err = Deferred(time.Minute, trouble)
	case fails:
		err = trouble
	}
	return Apply(before, obj, Result{Message: "well"}, err, noon)
}

// result leaves in the status what the work of a reconcile that succeeds does.
func result(obj Object) {
	switch o := obj.(type) {
	case *v1.ImageRepository:
		o.Status.CanonicalImageName = "registry.example.com/app"
		o.Status.LastScanResult = &v1.ScanResult{Revision: "r", ScanTime: metav1.NewTime(noon)}
	case *v1.ImagePolicy:
		o.Status.LatestRef = &v1.ImageRef{Name: "app", Image: "app", Tag: "1"}
		o.Status.LatestImage = "app:1"
	}
}

// newborns are objects of both kinds as the API server stores them.
func newborns() map[string]func() Object {
	object := metav1.ObjectMeta{Namespace: "apps", Name: "app", Generation: 1}
	return map[string]func() Object{
		v1.ImageRepositoryKind: func() Object {
			repo := &v1.ImageRepository{ObjectMeta: object}
			repo.Status.ObservedGeneration = -1 // the default of the schema
			return repo
		},
		v1.ImagePolicyKind: func() Object {
			policy := &v1.ImagePolicy{ObjectMeta: object}
			policy.Status.ObservedGeneration = -1
			return policy
		},
	}
}

func stateOf(g Gomega, kind string, obj Object) *conformance.State {
	state, err := conformance.ReadTyped(obj.(client.Object), kind)
	g.Expect(err).NotTo(HaveOccurred())
	return state
}

// TestApply_IsKstatusCompliant leads objects along every path, from every
// state that another path or two have left, with and without a new generation.
func TestApply_IsKstatusCompliant(t *testing.T) {
	for kind, newborn := range newborns() {
		for last, want := range paths {
			t.Run(fmt.Sprintf("%s %s %s", kind, last.way, last.reason), func(t *testing.T) {
				g := NewWithT(t)
				obj := newborn()
				settlement := last.take(obj)
				expectCompliant(g, kind, obj, last, settlement)
				g.Expect(stateOf(g, kind, obj).Kstatus()).To(Equal(want))
				for _, first := range examples {
					for _, second := range examples {
						for edited := range 4 { // neither of both times, the first, the second, both
							expectCompliantAfter(g, kind, newborn(), edited, first, second, last)
						}
					}
				}
			})
		}
	}
}

func expectCompliantAfter(g *WithT, kind string, obj Object, edited int, first, second, last path) {
	first.take(obj)
	obj.SetGeneration(obj.GetGeneration() + int64(edited&1))
	second.take(obj)
	obj.SetGeneration(obj.GetGeneration() + int64(edited>>1))
	before := stateOf(g, kind, obj)
	g.Expect(before.Violations()).To(BeEmpty(), "before: %s", before)
	settlement := last.take(obj)
	expectCompliant(g, kind, obj, last, settlement)
	after := stateOf(g, kind, obj)
	g.Expect(after.Change(before)).To(BeEmpty(), "from %s\nto %s", before, after)
	if settlement.SkipUpdate {
		return
	}
	ready := obj.(fluxconditions.Getter)
	g.Expect(fluxconditions.GetObservedGeneration(ready, meta.ReadyCondition)).To(Equal(obj.GetGeneration()))
	if last.way == keeps && before.ReadyNow() {
		g.Expect(after.Kstatus()).To(Equal(status.CurrentStatus), "the last result holds")
	} else {
		g.Expect(after.Kstatus()).To(Equal(paths[last]), "from %s\nto %s", before, after)
	}
}

// expectCompliant expects that the object is in order by the rules of this
// repository and by those of Flux.
func expectCompliant(g *WithT, kind string, obj Object, last path, settlement Outcome) {
	state := stateOf(g, kind, obj)
	g.Expect(state.Violations()).To(BeEmpty(), "%s", state)
	if settlement.SkipUpdate {
		return
	}
	checker := check.NewChecker(nil, &check.Conditions{NegativePolarity: []string{meta.ReconcilingCondition, meta.StalledCondition}})
	if last.way == announces {
		checker = check.NewInProgressChecker(nil)
	}
	checker.DisableFetch = true
	failure, warning := checker.Check(context.Background(), obj.(fluxconditions.Getter))
	g.Expect(failure).NotTo(HaveOccurred(), "%s", state)
	g.Expect(warning).NotTo(HaveOccurred(), "%s", state)
}
