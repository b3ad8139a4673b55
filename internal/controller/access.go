// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
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

// deniedError says why a policy may not use an ImageRepository.
type deniedError struct {
	repository types.NamespacedName
	why        string
}

func (e *deniedError) Error() string {
	return fmt.Sprintf("can't access ImageRepository '%s': %s", e.repository, e.why)
}

// crossNamespace returns a deniedError where a policy in the namespace may
// refer to no other namespace at all.
func (a Access) crossNamespace(namespace string, repo types.NamespacedName) error {
	if repo.Namespace == namespace || !a.NoCrossNamespaceRefs {
		return nil
	}
	return &deniedError{repo, fmt.Sprintf(
		"references to other namespaces are disabled for this controller; refer to one in namespace '%s'", namespace)}
}

// granted returns a deniedError where the repository does not let a policy in
// the namespace refer to it. Other errors are of the reading.
func (a Access) granted(ctx context.Context, repo *v1.ImageRepository, namespace string) error {
	if repo.Namespace == namespace {
		return nil
	}
	namespaceLabels, err := a.labels(ctx, namespace)
	if err != nil {
		return err
	}
	if !repository.Admits(repo.Spec.AccessFrom, namespaceLabels) {
		return notShared(client.ObjectKeyFromObject(repo), namespace)
	}
	return nil
}

// notShared is the deniedError about a repository in another namespace. It is the
// same whether there is such a repository, and whomever that lets in: those who
// are not let in must not learn that either.
func notShared(repo types.NamespacedName, namespace string) error {
	return &deniedError{repo, fmt.Sprintf("it does not exist, or no namespace selector of its spec.accessFrom matches "+
		"the labels of namespace '%s'; correct spec.imageRepositoryRef, or have a selector added there that matches", namespace)}
}

func (a Access) labels(ctx context.Context, namespace string) (labels.Set, error) {
	object := namespaceMetadata()
	err := a.Reader.Get(ctx, types.NamespacedName{Name: namespace}, object)
	return object.Labels, err
}

// namespaceMetadata is a namespace of which only the metadata is read and
// watched.
func namespaceMetadata() *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	return object
}
