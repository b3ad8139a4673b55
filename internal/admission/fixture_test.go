// SPDX-License-Identifier: Apache-2.0

package admission_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

const (
	good = "linux/amd64" // the required platform
	bad  = "windows/amd64"
)

var (
	firstScan = time.Unix(1_800_000_000, 0) // the time of the first scan
	errNoNet  = errors.New("connection refused")
)

// fakeRegistry is a registry that records requests.
type fakeRegistry struct {
	mu     sync.Mutex
	tags   map[string]string // digests by tag
	images map[string]admission.ImageInfo
	// unsigned holds the problem with the signatures, by digest.
	unsigned map[string]string
	// attestedUntil is until when the attestations of an image pass, by digest.
	attestedUntil map[string]time.Time
	// failing makes the requests with these prefixes fail.
	failing  []string
	recorded []string
}

func newFakeRegistry() *fakeRegistry {
	return &fakeRegistry{tags: map[string]string{}, images: map[string]admission.ImageInfo{}, unsigned: map[string]string{}}
}

// push pushes an image under a tag. Its digest is its name.
func (f *fakeRegistry) push(tag, digest, platform string) {
	f.tags[tag] = digest
	f.images[digest] = admission.ImageInfo{Digest: digest, PlatformsKnown: true, Platforms: []string{platform}, Created: firstScan.Unix() - 1}
}

func (f *fakeRegistry) record(request string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recorded = append(f.recorded, request)
	if slices.ContainsFunc(f.failing, func(prefix string) bool { return strings.HasPrefix(request, prefix) }) {
		return errNoNet
	}
	return nil
}

// requests returns the requests since its last call.
func (f *fakeRegistry) requests() []string {
	recorded := f.recorded
	f.recorded = nil
	return recorded
}

func (f *fakeRegistry) Digest(_ context.Context, tag string) (string, error) {
	if err := f.record("digest " + tag); err != nil {
		return "", err
	}
	digest, found := f.tags[tag]
	if !found {
		return "", admission.ErrNotFound
	}
	return digest, nil
}

func (f *fakeRegistry) Read(_ context.Context, reference string, wants admission.ReadOptions) (admission.ImageInfo, error) {
	if err := f.record("image " + reference); err != nil {
		return admission.ImageInfo{}, err
	}
	if digest, isTag := f.tags[reference]; isTag {
		reference = digest
	}
	img, found := f.images[reference]
	if !found {
		return admission.ImageInfo{}, admission.ErrNotFound
	}
	if !wants.Platforms {
		img.PlatformsKnown, img.Platforms = false, nil
	}
	if !wants.Created {
		img.Created = admission.CreatedUnread
	}
	return img, nil
}

func (f *fakeRegistry) Verify(_ context.Context, digest string, now time.Time) (string, string, error) {
	if err := f.record("verify " + digest); err != nil {
		return "", "", err
	}
	if problem, bad := f.unsigned[digest]; bad {
		return "", problem, nil
	}
	if until, limited := f.attestedUntil[digest]; limited && now.After(until) {
		return "", "has an old attestation", nil
	}
	return "ann", "", nil
}

// fixture is the state of a controller between evaluations.
type fixture struct {
	t           *testing.T
	registry    *fakeRegistry
	gates       admission.Gates
	tags        []string // best first
	infos       map[string]admission.ImageInfo
	rechecks    admission.Rechecks
	current     admission.Current
	budget      int
	renewBefore time.Time
	// unreadable holds the errors of reading the infos of tags.
	unreadable map[string]error
	// addedLater adds the tags after the first scan.
	addedLater bool
}

func newFixture(t *testing.T, tags ...string) *fixture {
	t.Helper()
	return &fixture{t: t, registry: newFakeRegistry(), tags: tags, infos: map[string]admission.ImageInfo{}, budget: 16,
		gates: admission.Gates{Platforms: []string{good}}}
}

const interval = 5 * time.Minute

// evaluate runs one evaluation and stores its result as a controller does.
func (f *fixture) evaluate(now time.Time) (admission.Result, error) {
	f.t.Helper()
	snapshot := scan.Next(scan.Snapshot{}, "app", slices.Clone(f.tags), firstScan)
	if f.addedLater {
		snapshot = scan.Next(scan.Next(scan.Snapshot{}, "app", nil, firstScan), "app", slices.Clone(f.tags), firstScan.Add(time.Second))
	}
	before := maps.Clone(f.infos)
	known := func(_ context.Context, tag string) (admission.ImageInfo, error) {
		return f.infos[tag], f.unreadable[tag]
	}
	in := admission.Input{Gates: f.gates, Snapshot: snapshot, Known: known, Current: f.current, Budget: f.budget, Now: now,
		RecheckPolicy: admission.RecheckPolicy{Previous: f.rechecks, Interval: interval, RenewBefore: f.renewBefore}}
	result, err := admission.Evaluate(f.t.Context(), f.registry, in, func(yield func(selection.Choice) bool) {
		for _, tag := range f.tags {
			if !yield(selection.Choice{Tag: tag}) {
				return
			}
		}
	})
	NewWithT(f.t).Expect(f.infos).To(BeComparableTo(before), "the known image info was modified")
	maps.Copy(f.infos, result.Fetched)
	if err != nil {
		rechecks := admission.Rechecks{}
		maps.Copy(rechecks, f.rechecks)
		maps.Copy(rechecks, result.Rechecks)
		f.rechecks = rechecks
	} else {
		f.rechecks, f.renewBefore = result.Rechecks, time.Time{}
	}
	return result, err
}

// expectSelected evaluates once and expects a selection ("" for none) and the requests.
func (f *fixture) expectSelected(now time.Time, want string, requests ...string) admission.Result {
	f.t.Helper()
	g := NewWithT(f.t)
	result, err := f.evaluate(now)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(selected(result)).To(Equal(want), "selection")
	g.Expect(f.registry.requests()).To(BeComparableTo(requests), "requests")
	return result
}

// selected returns the tag and the digest of the selection, "" for none.
func selected(result admission.Result) string {
	if result.Selected == nil {
		return ""
	}
	return result.Selected.Tag + "@" + result.Selected.Digest
}

func verdicts(result admission.Result) string {
	var all []string
	for _, c := range result.Evaluated {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", c.Tag, c.Digest, c.Verdict, c.Gate)))
	}
	return strings.Join(all, "; ")
}
