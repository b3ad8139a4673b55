// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/runtime/acl"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/repository"
)

// Access says which namespaces may refer to an ImageRepository.
type Access struct {
	// Reader reads the labels of namespaces.
	Reader client.Reader
	// NoCrossNamespaceRefs forbids every reference to another namespace.
	NoCrossNamespaceRefs bool
}

// denied is the error about an ImageRepository that a policy may not use.
func denied(repo types.NamespacedName, why string) error {
	return acl.AccessDeniedError(fmt.Sprintf("can't access ImageRepository '%s': %s", repo, why))
}

// checkCrossNamespace returns an AccessDeniedError where a policy in the namespace may
// refer to no other namespace at all.
func (a Access) checkCrossNamespace(namespace string, repo types.NamespacedName) error {
	if repo.Namespace == namespace || !a.NoCrossNamespaceRefs {
		return nil
	}
	return denied(repo, fmt.Sprintf(
		"references to other namespaces are disabled for this controller; refer to one in namespace '%s'", namespace))
}

// check returns an AccessDeniedError where the repository does not let a policy in
// the namespace refer to it. Other errors are of the reading.
func (a Access) check(ctx context.Context, repo *v1.ImageRepository, namespace string) error {
	if repo.Namespace == namespace {
		return nil
	}
	object := NamespaceMetadata()
	if err := a.Reader.Get(ctx, types.NamespacedName{Name: namespace}, object); err != nil {
		return err
	}
	if !repository.AllowsNamespace(repo.Spec.AccessFrom, object.Labels) {
		return notSharedError(client.ObjectKeyFromObject(repo), namespace)
	}
	return nil
}

// notSharedError is the AccessDeniedError about a repository in another namespace. It is the
// same whether there is such a repository, and whomever that lets in: those who
// are not let in must not learn that either.
func notSharedError(repo types.NamespacedName, namespace string) error {
	return denied(repo, fmt.Sprintf("it does not exist, or no namespace selector of its spec.accessFrom matches "+
		"the labels of namespace '%s'; correct spec.imageRepositoryRef, or have a selector added there that matches", namespace))
}

// NamespaceMetadata is a namespace of which only the metadata is read and
// watched.
func NamespaceMetadata() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}}
}
