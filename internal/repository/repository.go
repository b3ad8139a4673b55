// SPDX-License-Identifier: Apache-2.0

package repository

import (
	"github.com/fluxcd/pkg/apis/acl"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// KeyOf returns the name of the ImageRepository that a policy refers to. The namespace defaults to
// that of the policy.
func KeyOf(policy *v1.ImagePolicy) types.NamespacedName {
	ref := policy.Spec.ImageRepositoryRef
	if ref.Namespace == "" {
		ref.Namespace = policy.Namespace
	}
	return types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
}

// AllowsNamespace reports whether any of the selectors matches the labels of a namespace. An empty
// selector matches every namespace, an empty list none.
func AllowsNamespace(accessFrom *acl.AccessFrom, namespace labels.Set) bool {
	if accessFrom == nil {
		return false
	}
	for _, selector := range accessFrom.NamespaceSelectors {
		if labels.SelectorFromSet(selector.MatchLabels).Matches(namespace) {
			return true
		}
	}
	return false
}
