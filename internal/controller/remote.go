// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/inspect"
	"github.com/fluxcd/image-reflector-controller/internal/lifecycle"
	"github.com/fluxcd/image-reflector-controller/internal/outcome"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
)

// Repository is an image repository in a registry. Each operation fails with a
// *ratelimit.BusyError if it has to return later.
type Repository interface {
	inspect.Source
	signature.Repository
	List(ctx context.Context, known registry.Fingerprint) (registry.TagList, error)
	Digest(ctx context.Context, tag string) (string, error)
	Exists(ctx context.Context, tag string) (bool, error)
	Close()
}

var _ Repository = &registry.Repository{}

// OpenRepository opens an image repository, without a request.
type OpenRepository func(registry.Access) Repository

// remoteTags looks at single tags of one origin. Credentials are read only
// when a request will be made.
type remoteTags struct {
	policies *ImagePolicies
	policy   types.NamespacedName
	from     origin
	// verifier is set where the policy has images verified.
	verifier Verifier

	mu    sync.Mutex // guards begin: images may be read some at a time
	begin lifecycle.Begin
}

func (r *remoteTags) tell(message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin(message)
}

func (w *ImagePolicies) remote(policy *v1.ImagePolicy, from origin, begin lifecycle.Begin) *remoteTags {
	return &remoteTags{policies: w, policy: client.ObjectKeyFromObject(policy), from: from, begin: begin}
}

// digest returns the digest of a tag's manifest, of its index if it has one.
func (r *remoteTags) digest(ctx context.Context, tag string) (string, error) {
	message := fmt.Sprintf("fetching the digest of %s:%s", r.from.name, tag)
	return ask(ctx, r, message, func(ctx context.Context, repo Repository) (string, error) {
		return repo.Digest(ctx, tag)
	})
}

// exists reports whether the registry has the tag.
func (r *remoteTags) exists(ctx context.Context, tag string) (bool, error) {
	return ask(ctx, r, fmt.Sprintf("looking for %s:%s", r.from.name, tag), func(ctx context.Context, repo Repository) (bool, error) {
		return repo.Exists(ctx, tag)
	})
}

// ask does what needs one admission to the registry. The repository's timeout spans
// all of it, credentials included.
func ask[T any](ctx context.Context, r *remoteTags, message string, do func(context.Context, Repository) (T, error)) (T, error) {
	access := accessOf(r.policies.Auth, r.from.asScanned(), r.from.name)
	access.Waiter = waiterOf(v1.ImagePolicyKind, r.policy, r.policies.Wake)
	access.Admitted = func() { r.tell(message) }
	repo := r.policies.Open(access)
	defer repo.Close()
	ctx, cancel := context.WithTimeout(ctx, r.from.repo.GetTimeout())
	defer cancel()
	answer, err := do(ctx, repo)
	return answer, registryError(err)
}

// registryError gives an error of the registry package its kind.
func registryError(err error) error {
	if busy, ok := errors.AsType[*ratelimit.BusyError](err); ok {
		return outcome.Deferred(busy.After, err)
	}
	failure, ok := registryFailure(err)
	switch {
	case !ok:
		return err
	case failure.Reason() == meta.FeatureGateDisabledReason:
		return outcome.Stalled(meta.FeatureGateDisabledReason, err)
	case failure.RetryAfter > 0: // the registry said when
		return outcome.Waiting(failure.Reason(), failure.RetryAfter, err)
	default:
		return outcome.Retry(failure.Reason(), err)
	}
}

func registryFailure(err error) (*registry.Error, bool) {
	return errors.AsType[*registry.Error](err)
}
