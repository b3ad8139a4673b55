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
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/admission/images"
	"github.com/fluxcd/image-reflector-controller/internal/lifecycle"
	"github.com/fluxcd/image-reflector-controller/internal/outcome"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
)

// Repository is an image repository in a registry. Each operation fails with a
// *ratelimit.BusyError if it has to return later.
type Repository interface {
	images.Repository
	List(ctx context.Context, known registry.Fingerprint) (registry.TagList, error)
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

// images returns the images of the origin. The verifier is nil where none are verified.
func (r *remoteTags) images(verifier images.Verifier) admission.Images {
	session := func(ctx context.Context, message string, do func(context.Context, images.Repository) error) error {
		return r.ask(ctx, message, func(ctx context.Context, repo Repository) error { return do(ctx, repo) })
	}
	return images.Remote{Name: r.from.name, Verifier: verifier, Session: session}
}

// digest returns the digest of a tag's manifest, of its index if it has one.
func (r *remoteTags) digest(ctx context.Context, tag string) (string, error) {
	var digest string
	err := r.ask(ctx, fmt.Sprintf("fetching the digest of %s:%s", r.from.name, tag), func(ctx context.Context, repo Repository) error {
		var err error
		digest, err = repo.Digest(ctx, tag)
		return err
	})
	return digest, err
}

// exists reports whether the registry has the tag.
func (r *remoteTags) exists(ctx context.Context, tag string) (bool, error) {
	var exists bool
	err := r.ask(ctx, fmt.Sprintf("looking for %s:%s", r.from.name, tag), func(ctx context.Context, repo Repository) error {
		var err error
		exists, err = repo.Exists(ctx, tag)
		return err
	})
	return exists, err
}

// ask does what needs one admission to the registry. The repository's timeout spans
// all of it, credentials included.
func (r *remoteTags) ask(ctx context.Context, message string, do func(context.Context, Repository) error) error {
	access := accessOf(r.policies.Auth, r.from.asScanned(), r.from.name)
	access.Waiter = waiterOf(v1.ImagePolicyKind, r.policy, r.policies.Wake)
	access.Admitted = func() { r.tell(message) }
	repo := r.policies.Open(access)
	defer repo.Close()
	ctx, cancel := context.WithTimeout(ctx, r.from.repo.GetTimeout())
	defer cancel()
	return registryError(do(ctx, repo))
}

// registryError gives an error of the packages registry and signature its kind.
func registryError(err error) error {
	if busy, ok := errors.AsType[*ratelimit.BusyError](err); ok {
		return outcome.Deferred(busy.After, err)
	}
	failure, ok := registryFailure(err)
	unavailable, unverified := errors.AsType[*signature.UnavailableError](err)
	switch {
	case !ok && unverified:
		return outcome.Retry(v1.VerificationErrorReason, unavailable)
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
