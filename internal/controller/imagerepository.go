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
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/lifecycle"
	"github.com/fluxcd/image-reflector-controller/internal/outcome"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/tagstore"
)

// latestTags is how many tags the status of an ImageRepository shows.
const latestTags = 10

// TagLister lists the tags of an image repository: all of them, or an error.
type TagLister interface {
	Gate
	List(ctx context.Context, name image.Name, auth registry.AuthOptions) (registry.TagList, error)
}

// ImageRepositories scans image repositories. It is the worker of the
// ImageRepository kind.
type ImageRepositories struct {
	// Auth says how a registry is reached.
	Auth registry.AuthOptionsGetter
	// Registry lists tags.
	Registry TagLister
	// Store keeps the tags.
	Store tagstore.Store
	// Saved is told of an object whose tags in the store changed although its
	// status will not show it.
	Saved func(ctx context.Context, name types.NamespacedName)
	// Wake enqueues an object that waited for its turn at a registry.
	Wake func(name types.NamespacedName)
	// JitterPercent is by how much an interval is moved, so that objects which
	// were made together are not scanned together forever.
	JitterPercent uint8
}

var _ lifecycle.Worker[*v1.ImageRepository] = &ImageRepositories{}

// New returns an empty ImageRepository.
func (w *ImageRepositories) New() *v1.ImageRepository { return &v1.ImageRepository{} }

// Suspended reports whether scans are stopped.
func (w *ImageRepositories) Suspended(repo *v1.ImageRepository) bool { return repo.Spec.Suspend }

// Forget drops the tags of an ImageRepository that is gone.
func (w *ImageRepositories) Forget(ctx context.Context, name types.NamespacedName) error {
	return w.Store.Forget(ctx, name, "")
}

// Work scans the image repository where a scan is due.
func (w *ImageRepositories) Work(ctx context.Context, repo *v1.ImageRepository, begin lifecycle.Begin) (outcome.Result, error) {
	name, exclusions, err := parseRepository(repo)
	if err != nil {
		return outcome.Result{}, err
	}
	repo.Status.CanonicalImageName = name.Canonical()

	previous, err := w.stored(ctx, repo)
	if err != nil {
		return outcome.Result{}, err
	}
	decision := scan.Decide(scan.FactsOf(repo, w.interval(repo), ofLastScan(repo, previous), time.Now()))
	reason, due := decision.Due()
	if !due {
		return scanned(repo, decision.Wait()), nil
	}
	list, err := w.list(ctx, repo, name, exclusions, func() { begin(fmt.Sprintf("scanning %s: %s", name, reason)) })
	if err != nil {
		return outcome.Result{}, err
	}
	if err := w.save(ctx, repo, previous, list.Tags); err != nil {
		return outcome.Result{}, err
	}
	ctrl.LoggerFrom(ctx).V(1).Info("scanned", "due", reason, "tags", repo.Status.LastScanResult.TagCount, "invalid", list.Invalid)
	return scanned(repo, w.interval(repo)), nil
}

func parseRepository(repo *v1.ImageRepository) (image.Name, scan.Exclusions, error) {
	name, err := image.Parse(repo.Spec.Image, repo.Spec.Insecure)
	if err != nil {
		return image.Name{}, scan.Exclusions{}, outcome.Stalled(v1.ImageURLInvalidReason, err)
	}
	exclusions, err := scan.CompileExclusions(repo.GetExclusionList())
	if err != nil {
		return image.Name{}, scan.Exclusions{}, outcome.Stalled(v1.FailureReason, err)
	}
	return name, exclusions, nil
}

// stored returns what the store holds for the object: nothing, as the zero
// value, where it holds none.
func (w *ImageRepositories) stored(ctx context.Context, repo *v1.ImageRepository) (scan.Snapshot, error) {
	snapshot, err := w.Store.Get(ctx, storeKey(repo))
	if errors.Is(err, tagstore.ErrNotFound) {
		return scan.Snapshot{}, nil
	}
	return snapshot, err
}

// interval returns the time between the last scan and the next.
func (w *ImageRepositories) interval(repo *v1.ImageRepository) time.Duration {
	seed := string(repo.UID)
	if last := repo.Status.LastScanResult; last != nil {
		seed += last.ScanTime.UTC().Format(time.RFC3339)
	}
	return scan.Spread(repo.GetRequeueAfter(), w.JitterPercent, seed)
}

// list lists the tags, less the excluded ones, once it is let in. The timeout
// spans all of it, credentials and exclusions included.
func (w *ImageRepositories) list(
	ctx context.Context, repo *v1.ImageRepository, name image.Name, exclusions scan.Exclusions, begin func(),
) (registry.TagList, error) {
	ctx, leave, err := w.Registry.Enter(ctx, name, callerOf(v1.ImageRepositoryKind, client.ObjectKeyFromObject(repo), w.Wake))
	if err != nil {
		return registry.TagList{}, registryError(err)
	}
	defer leave()
	begin()
	ctx, cancel := context.WithTimeout(ctx, repo.GetTimeout())
	defer cancel()
	auth, err := w.Auth.AuthOptions(ctx, repo)
	if err != nil {
		return registry.TagList{}, registryError(err)
	}
	list, err := w.Registry.List(ctx, name, auth)
	if err != nil {
		return registry.TagList{}, registryError(err)
	}
	list.Tags, err = filter(ctx, list.Tags, exclusions)
	return list, err
}

// filterStep is how many tags are filtered between two looks at the clock: an
// expression can take milliseconds for each.
const filterStep = 16

// filter leaves the excluded tags out, for as long as ctx allows.
func filter(ctx context.Context, tags []string, exclusions scan.Exclusions) ([]string, error) {
	kept := make([]string, 0, len(tags))
	for some := range slices.Chunk(tags, filterStep) {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("spec.timeout is over before spec.exclusionList was compared with all of the %d tags: "+
				"simplify its regular expressions, or raise spec.timeout", len(tags))
		}
		kept = append(kept, exclusions.Filter(some)...)
	}
	return kept, nil
}

// save stores the tags before it notes them in the status, so that a status
// never tells of tags that the store lacks.
func (w *ImageRepositories) save(ctx context.Context, repo *v1.ImageRepository, previous scan.Snapshot, tags []string) error {
	now := time.Now()
	next := scan.Next(previous, repo.Spec.Image, tags, now)
	if previous.Image == "" { // an older object of the same name may have left something
		if err := w.Store.Forget(ctx, client.ObjectKeyFromObject(repo), repo.UID); err != nil {
			return fmt.Errorf("the tags of an older object could not be removed: %w", err)
		}
	}
	if !next.Equal(previous) {
		if err := w.Store.Put(ctx, storeKey(repo), next); err != nil {
			return fmt.Errorf("tags could not be stored: %w", err)
		}
	}
	result := &v1.ScanResult{
		Revision:   next.Revision(),
		TagCount:   len(next.Tags),
		ScanTime:   metav1.NewTime(now).Rfc3339Copy(),
		LatestTags: next.Latest(latestTags),
	}
	silent := repo.Status.LastScanResult != nil && repo.Status.LastScanResult.Revision == result.Revision &&
		repo.Status.ObservedImage == next.Image
	repo.Status.LastScanResult = result
	repo.Status.ObservedImage = next.Image
	repo.Status.ObservedExclusionList = slices.Clone(repo.GetExclusionList())
	if silent && !next.Equal(previous) && w.Saved != nil {
		w.Saved(ctx, client.ObjectKeyFromObject(repo))
	}
	return nil
}

// scanned is the result of an object whose tags are up to date.
func scanned(repo *v1.ImageRepository, wait time.Duration) outcome.Result {
	last := repo.Status.LastScanResult
	return outcome.Result{
		Message: fmt.Sprintf("successful scan: found %d tags with checksum %s", last.TagCount, last.Revision),
		After:   wait,
	}
}

func storeKey(repo *v1.ImageRepository) tagstore.Key {
	return tagstore.Key{Namespace: repo.Namespace, Name: repo.Name, UID: repo.UID}
}
