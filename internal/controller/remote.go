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
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/lifecycle"
	"github.com/fluxcd/image-reflector-controller/internal/outcome"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// Gate lets those in who want to ask a registry.
type Gate interface {
	// Enter returns the context to ask with, and what ends that. It fails with
	// a *registry.BusyError where it is not the caller's turn yet.
	Enter(ctx context.Context, name image.Name, caller registry.Caller) (context.Context, func(), error)
}

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
	return ask(ctx, r, registry.ToGetDigest(tag), message, func(ctx context.Context, auth registry.AuthOptions) (string, error) {
		return r.policies.Registry.Digest(ctx, r.from.name, tag, auth)
	})
}

// exists reports whether the registry has the tag.
func (r *remoteTags) exists(ctx context.Context, tag string) (bool, error) {
	message := fmt.Sprintf("looking for %s:%s", r.from.name, tag)
	return ask(ctx, r, registry.ToLookFor(tag), message, func(ctx context.Context, auth registry.AuthOptions) (bool, error) {
		return r.policies.Registry.Exists(ctx, r.from.name, tag, auth)
	})
}

// ask makes one request. The repository's timeout spans all of it, credentials
// included.
func ask[T any](
	ctx context.Context, r *remoteTags, purpose registry.Purpose, message string,
	request func(context.Context, registry.AuthOptions) (T, error),
) (T, error) {
	var none T
	caller := callerOf(v1.ImagePolicyKind, r.policy, r.from.repo, purpose, r.policies.Wake)
	ctx, leave, err := r.policies.Registry.Enter(ctx, r.from.name, caller)
	if err != nil {
		return none, registryError(err)
	}
	defer leave()
	r.tell(message)
	ctx, cancel := context.WithTimeout(ctx, r.from.repo.GetTimeout())
	defer cancel()
	auth, err := r.policies.Auth.AuthOptions(ctx, r.from.asScanned())
	if err != nil {
		return none, registryError(err)
	}
	answer, err := request(ctx, auth)
	return answer, registryError(err)
}

// registryError gives an error of the registry package its kind.
func registryError(err error) error {
	if busy, ok := errors.AsType[*registry.BusyError](err); ok {
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
