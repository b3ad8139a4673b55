// SPDX-License-Identifier: Apache-2.0

package repository

import (
	"github.com/fluxcd/pkg/apis/acl"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Of returns the name of the ImageRepository a policy refers to: in
// its own namespace where it names none.
func Of(policy *v1.ImagePolicy) types.NamespacedName {
	ref := policy.Spec.ImageRepositoryRef
	if ref.Namespace == "" {
		ref.Namespace = policy.Namespace
	}
	return types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
}

// Admits reports whether any of the selectors matches the labels of a
// namespace. An empty selector matches every namespace, an empty list none.
func Admits(from *acl.AccessFrom, namespace labels.Set) bool {
	if from == nil {
		return false
	}
	for _, selector := range from.NamespaceSelectors {
		if labels.SelectorFromSet(selector.MatchLabels).Matches(namespace) {
			return true
		}
	}
	return false
}
