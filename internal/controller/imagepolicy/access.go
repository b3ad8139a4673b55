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

// Access checks which namespaces may refer to an ImageRepository.
type Access struct {
	// Reader reads the labels of namespaces.
	Reader client.Reader
	// NoCrossNamespaceRefs forbids every reference to another namespace.
	NoCrossNamespaceRefs bool
}

// accessDenied returns the AccessDeniedError about an ImageRepository that a policy may not use.
func accessDenied(repo types.NamespacedName, reason string) error {
	return acl.AccessDeniedError(fmt.Sprintf("can't access ImageRepository '%s': %s", repo, reason))
}

// checkCrossNamespace returns an AccessDeniedError if the repository is in another namespace and
// the controller forbids such references.
func (a Access) checkCrossNamespace(namespace string, repo types.NamespacedName) error {
	if repo.Namespace == namespace || !a.NoCrossNamespaceRefs {
		return nil
	}
	return accessDenied(repo, fmt.Sprintf(
		"references to other namespaces are disabled for this controller; refer to one in namespace '%s'", namespace))
}

// check returns an AccessDeniedError if spec.accessFrom of the repository does not allow the
// namespace, and other errors if the namespace can't be read.
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

// notSharedError returns the AccessDeniedError about a repository in another namespace. It is the
// same whether the repository exists or not, so that it does not reveal that.
func notSharedError(repo types.NamespacedName, namespace string) error {
	return accessDenied(repo, fmt.Sprintf("it does not exist, or no namespace selector of its spec.accessFrom matches "+
		"the labels of namespace '%s'; correct spec.imageRepositoryRef, or have a matching selector added there", namespace))
}

// NamespaceMetadata returns an object to read or watch only the metadata of a namespace.
func NamespaceMetadata() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}}
}
