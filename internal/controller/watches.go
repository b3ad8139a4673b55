// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/repository"
)

// repositoryIndex is the name of the index of ImagePolicies by ImageRepository.
const repositoryIndex = ".spec.imageRepositoryRef"

func indexByRepository(obj client.Object) []string {
	return []string{repository.KeyOf(obj.(*v1.ImagePolicy)).String()}
}

// dependents lists the policies that depend on other objects.
type dependents struct {
	reader client.Reader
}

// ofRepository returns the policies that refer to an ImageRepository.
func (d dependents) ofRepository(ctx context.Context, repo types.NamespacedName) []ctrl.Request {
	return d.list(ctx, func(*v1.ImagePolicy) bool { return true },
		client.MatchingFields{repositoryIndex: repo.String()})
}

// ofNamespace returns the policies whose access to an ImageRepository depends on the labels of a
// namespace: policies in it that refer to other namespaces.
func (d dependents) ofNamespace(ctx context.Context, namespace client.Object) []ctrl.Request {
	return d.list(ctx, func(policy *v1.ImagePolicy) bool { return repository.KeyOf(policy).Namespace != policy.Namespace },
		client.InNamespace(namespace.GetName()))
}

func (d dependents) list(ctx context.Context, match func(*v1.ImagePolicy) bool, opts ...client.ListOption) []ctrl.Request {
	policies := &v1.ImagePolicyList{}
	if err := d.reader.List(ctx, policies, append(opts, client.UnsafeDisableDeepCopy)...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "dependent ImagePolicies could not be listed")
		return nil
	}
	var requests []ctrl.Request
	for i := range policies.Items {
		if match(&policies.Items[i]) {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&policies.Items[i])})
		}
	}
	return requests
}

// repositoryChanges passes the changes of an ImageRepository that affect its policies.
func repositoryChanges() predicate.Predicate {
	return predicate.Funcs{
		GenericFunc: func(event.GenericEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*v1.ImageRepository)
			after, ok2 := e.ObjectNew.(*v1.ImageRepository)
			return ok && ok2 && affectsPolicies(before, after)
		},
	}
}

func affectsPolicies(before, after *v1.ImageRepository) bool {
	return before.UID != after.UID ||
		conditions.Revision(before) != conditions.Revision(after) ||
		before.Status.ObservedImage != after.Status.ObservedImage ||
		readiness(before) != readiness(after) ||
		!equality.Semantic.DeepEqual(specForPolicies(before), specForPolicies(after))
}

// specForPolicies returns the spec without the fields that affect only scans. Policies use the
// others for access control and for their own requests to the registry.
func specForPolicies(repo *v1.ImageRepository) v1.ImageRepositorySpec {
	spec := repo.Spec
	spec.Interval, spec.Suspend, spec.ExclusionList = metav1.Duration{}, false, nil
	return spec
}

// readiness returns the status and reason of the Ready condition, which affect the messages of
// policies.
func readiness(repo *v1.ImageRepository) string {
	ready := apimeta.FindStatusCondition(repo.Status.Conditions, meta.ReadyCondition)
	if ready == nil {
		return ""
	}
	return string(ready.Status) + ready.Reason
}

// onlyUpdates passes the updates that the function accepts, and no other events.
func onlyUpdates(pass func(event.UpdateEvent) bool) predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
		UpdateFunc:  pass,
	}
}
