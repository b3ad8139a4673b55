/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

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
