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

// resultKind is how a reconcile ends: the name of the function that makes its error.
type resultKind string

const (
	succeeds  resultKind = "success"
	fails     resultKind = "plain error"
	stalls    resultKind = "Stalled"
	waits     resultKind = "Waiting"
	keeps     resultKind = "KeepReady"
	retries   resultKind = "Retry"
	defers    resultKind = "Deferred"
	announces resultKind = "MarkReconciling"
)

// outcomePath is a kind of result with its reason. Each path leads to different conditions.
type outcomePath struct {
	kind   resultKind
	reason string
}

// registryReasons are the reasons of the errors of internal/registry.
var registryReasons = []string{
	v1.AuthenticationFailedReason, v1.RateLimitedReason, v1.ReadOperationFailedReason, v1.ImageURLInvalidReason, meta.FeatureGateDisabledReason,
}

// outcomePaths maps all paths to the kstatus of a new object after its first reconcile.
// TestPaths_CoverEveryReason checks that the list is complete.
var outcomePaths = func() map[outcomePath]status.Status {
	all := map[outcomePath]status.Status{
		{succeeds, meta.SucceededReason}:    status.CurrentStatus,
		{announces, meta.ProgressingReason}: status.InProgressStatus,
		{fails, v1.FailureReason}:           status.InProgressStatus,
		{defers, ""}:                        status.InProgressStatus, // nothing is written

		// The object, or an object that it refers to, must be changed.
		{stalls, v1.ImageURLInvalidReason}:       status.FailedStatus,
		{stalls, v1.InvalidPolicyReason}:         status.FailedStatus,
		{stalls, v1.FailureReason}:               status.FailedStatus,
		{stalls, meta.FeatureGateDisabledReason}: status.FailedStatus,

		// Another object or the registry must change. Then the object recovers.
		{waits, meta.DependencyNotReadyReason}: status.InProgressStatus,
		{waits, acl.AccessDeniedReason}:        status.InProgressStatus,
		{waits, v1.NoTagSelectedReason}:        status.InProgressStatus,
		{waits, v1.VerificationErrorReason}:    status.InProgressStatus,

		// Data that the verification of signatures needs could not be read.
		{retries, v1.VerificationErrorReason}: status.InProgressStatus,

		// The last result stays valid if it is of the same generation.
		{keeps, meta.DependencyNotReadyReason}: status.InProgressStatus,
	}
	for _, reason := range registryReasons { // with Retry-After, with a valid last result, or neither
		for _, kind := range []resultKind{waits, keeps, retries} {
			all[outcomePath{kind, reason}] = status.InProgressStatus
		}
	}
	return all
}()

// examples has one path of each kind.
var examples = func() []outcomePath {
	byKind := map[resultKind]outcomePath{}
	for p := range outcomePaths {
		byKind[p.kind] = p
	}
	return slices.Collect(maps.Values(byKind))
}()

// apply applies the result or error of the path to an object, as a reconcile does.
func (p outcomePath) apply(obj Object) Outcome {
	before := obj.(client.Object).DeepCopyObject().(Object)
	cause := errors.New("trouble")
	var err error
	switch p.kind {
	case announces:
		return Outcome{SkipUpdate: !MarkReconciling(obj, "scanning", noon)}
	case succeeds:
		setResult(obj)
	case stalls:
		err = Stalled(p.reason, cause)
	case waits:
		err = Waiting(p.reason, time.Minute, cause)
	case keeps:
		err = KeepReady(p.reason, time.Minute, cause)
	case retries:
		err = Retry(p.reason, cause)
	case defers:
		err = Deferred(time.Minute, cause)
	case fails:
		err = cause
	}
	return Apply(before, obj, Result{Message: "well"}, err, noon)
}

// setResult sets the status fields that a successful reconcile sets.
func setResult(obj Object) {
	switch o := obj.(type) {
	case *v1.ImageRepository:
		o.Status.CanonicalImageName = "registry.example.com/app"
		o.Status.LastScanResult = &v1.ScanResult{Revision: "r", ScanTime: metav1.NewTime(noon)}
	case *v1.ImagePolicy:
		o.Status.LatestRef = &v1.ImageRef{Name: "app", Image: "app", Tag: "1"}
		o.Status.LatestImage = "app:1"
	}
}

// newObjects returns constructors of both kinds, with the defaults of the API server.
func newObjects() map[string]func() Object {
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

// TestApply_IsKstatusCompliant applies every path to objects in every state that one or two other
// paths lead to, with and without a new generation.
func TestApply_IsKstatusCompliant(t *testing.T) {
	for kind, newObject := range newObjects() {
		for last, want := range outcomePaths {
			t.Run(fmt.Sprintf("%s %s %s", kind, last.kind, last.reason), func(t *testing.T) {
				g := NewWithT(t)
				obj := newObject()
				outcome := last.apply(obj)
				expectCompliant(g, kind, obj, last, outcome)
				g.Expect(stateOf(g, kind, obj).Kstatus()).To(Equal(want))
				for _, first := range examples {
					for _, second := range examples {
						for edited := range 4 { // bit 0: a new generation before second, bit 1: before last
							expectCompliantAfter(g, kind, newObject(), edited, first, second, last)
						}
					}
				}
			})
		}
	}
}

func expectCompliantAfter(g *WithT, kind string, obj Object, edited int, first, second, last outcomePath) {
	first.apply(obj)
	obj.SetGeneration(obj.GetGeneration() + int64(edited&1))
	second.apply(obj)
	obj.SetGeneration(obj.GetGeneration() + int64(edited>>1))
	before := stateOf(g, kind, obj)
	g.Expect(before.Violations()).To(BeEmpty(), "before: %s", before)
	outcome := last.apply(obj)
	expectCompliant(g, kind, obj, last, outcome)
	after := stateOf(g, kind, obj)
	g.Expect(after.Change(before)).To(BeEmpty(), "from %s\nto %s", before, after)
	if outcome.SkipUpdate {
		return
	}
	ready := obj.(fluxconditions.Getter)
	g.Expect(fluxconditions.GetObservedGeneration(ready, meta.ReadyCondition)).To(Equal(obj.GetGeneration()))
	if last.kind == keeps && before.ReadyNow() {
		g.Expect(after.Kstatus()).To(Equal(status.CurrentStatus), "the last result stays valid")
	} else {
		g.Expect(after.Kstatus()).To(Equal(outcomePaths[last]), "from %s\nto %s", before, after)
	}
}

// expectCompliant checks the conditions by the rules of this repository and by those of Flux.
func expectCompliant(g *WithT, kind string, obj Object, last outcomePath, outcome Outcome) {
	state := stateOf(g, kind, obj)
	g.Expect(state.Violations()).To(BeEmpty(), "%s", state)
	if outcome.SkipUpdate {
		return
	}
	checker := check.NewChecker(nil, &check.Conditions{NegativePolarity: []string{meta.ReconcilingCondition, meta.StalledCondition}})
	if last.kind == announces {
		checker = check.NewInProgressChecker(nil)
	}
	checker.DisableFetch = true
	failure, warning := checker.Check(context.Background(), obj.(fluxconditions.Getter))
	g.Expect(failure).NotTo(HaveOccurred(), "%s", state)
	g.Expect(warning).NotTo(HaveOccurred(), "%s", state)
}
