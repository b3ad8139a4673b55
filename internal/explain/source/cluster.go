// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fluxcd/pkg/auth"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
	"github.com/fluxcd/image-reflector-controller/internal/repository"
)

// Cluster reads objects with the permissions of the user.
type Cluster struct{ client.Client }

// OpenCluster returns the cluster of a client configuration.
func OpenCluster(config *rest.Config) (*Cluster, error) {
	auth.EnableObjectLevelWorkloadIdentity() // the user's permissions limit the use of service accounts
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("the cluster can't be used: %w", err)
	}
	return &Cluster{c}, nil
}

// Case reads a policy and the repository that it refers to.
func (c *Cluster) Case(ctx context.Context, name types.NamespacedName) (*explain.Case, error) {
	policy, repo := &v1.ImagePolicy{}, &v1.ImageRepository{}
	if err := c.get(ctx, v1.ImagePolicyKind, name, policy, "check its name, and its namespace, which -n sets"); err != nil {
		return nil, err
	}
	const hint = "create it, or correct spec.imageRepositoryRef of the policy"
	if err := c.get(ctx, v1.ImageRepositoryKind, repository.KeyOf(policy), repo, hint); err != nil {
		return nil, err
	}
	return &explain.Case{Policy: policy, Repository: repo}, nil
}

// get reads an object. If there is none, the error says what to change.
func (c *Cluster) get(ctx context.Context, kind string, name types.NamespacedName, into client.Object, change string) error {
	err := c.Get(ctx, name, into)
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err):
		return Invalidf("there is no %s '%s' in the cluster: %s", kind, name, change)
	case apimeta.IsNoMatchError(err):
		return fmt.Errorf("the cluster has no kind %s in %s: are the CRDs installed?", kind, v1.GroupVersion)
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err): // the cause alone may just be "unknown"
		return fmt.Errorf("the cluster does not let you read %s '%s': %w", kind, name, err)
	default:
		return fmt.Errorf("%s '%s' could not be read: %w", kind, name, err)
	}
}

// Identity returns the credentials of the repository, which the controller uses for its registry,
// if the user may read them.
func (c *Cluster) Identity(ctx context.Context, repo *v1.ImageRepository) (registry.AuthOptions, error) {
	return c.identities().AuthOptions(ctx, repo)
}

// MirrorIdentity returns the credentials of the repository for the image at a mirror.
func (c *Cluster) MirrorIdentity(ctx context.Context, repo *v1.ImageRepository, mirror image.Name) (registry.AuthOptions, error) {
	return c.identities().MirrorAuthOptions(ctx, repo, mirror)
}

func (c *Cluster) identities() registry.AuthOptionsGetter {
	cloud := credentials.Cloud{Client: c.Client, ObjectLevel: true}
	return registry.NewAuthOptionsGetter(credentials.NewResolver(c.Client, credentials.WithCloud(cloud)))
}

// Admits reports whether spec.accessFrom of a repository allows policies of a namespace.
func (c *Cluster) Admits(ctx context.Context, repo *v1.ImageRepository, namespace string) (bool, error) {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	if err := c.Get(ctx, types.NamespacedName{Name: namespace}, object); err != nil {
		return false, err
	}
	return repository.AllowsNamespace(repo.Spec.AccessFrom, object.Labels), nil
}

// Names returns the names of the objects of a list kind, in all namespaces if namespace is empty.
func (c *Cluster) Names(ctx context.Context, kind schema.GroupVersionKind, namespace string) ([]string, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind)
	err := c.List(ctx, list, client.InNamespace(namespace))
	names := make([]string, len(list.Items))
	for i, item := range list.Items {
		names[i] = item.Name
	}
	return names, err
}

// StatusTags returns the tags in the statuses: the latest ones of the last scan and the selected one.
func StatusTags(c *explain.Case) (explain.Listing, error) {
	status := c.Repository.Status
	if status.LastScanResult == nil {
		return explain.Listing{}, Invalidf("ImageRepository '%s' has not been scanned yet: "+
			"leave --from-status out to list the tags in the registry", client.ObjectKeyFromObject(c.Repository))
	}
	l := newListing(explain.FromStatus, status.LastScanResult.LatestTags)
	ref, tags := c.Policy.Status.LatestRef, status.LastScanResult.TagCount
	if tags > len(l.Tags) && ref != nil && ref.Name == c.Repository.Spec.Image && !slices.Contains(l.Tags, ref.Tag) {
		l.Tags = append(l.Tags, ref.Tag)
	}
	l.Partial = tags > len(l.Tags)
	return l, nil
}
