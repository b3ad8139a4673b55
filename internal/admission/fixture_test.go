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
	good = "linux/amd64" // the platform that is wanted
	bad  = "windows/amd64"
)

var (
	began    = time.Unix(1_800_000_000, 0) // the first scan
	errNoNet = errors.New("connection refused")
)

// fake is a registry that tells what it was asked.
type fake struct {
	mu     sync.Mutex
	tags   map[string]string // to digests
	images map[string]admission.ImageInfo
	// unsigned are digests, and what is wrong with their signatures.
	unsigned map[string]string
	// failing fails the requests that begin with one of these.
	failing []string
	asked   []string
}

func newFake() *fake {
	return &fake{tags: map[string]string{}, images: map[string]admission.ImageInfo{}, unsigned: map[string]string{}}
}

// push pushes an image under a tag. Its digest is that of its name.
func (f *fake) push(tag, digest, platform string) {
	f.tags[tag] = digest
	f.images[digest] = admission.ImageInfo{Digest: digest, PlatformsKnown: true, Platforms: []string{platform}, Created: began.Unix() - 1}
}

func (f *fake) ask(request string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, request)
	if slices.ContainsFunc(f.failing, func(prefix string) bool { return strings.HasPrefix(request, prefix) }) {
		return errNoNet
	}
	return nil
}

// requests returns what was asked since it was last called.
func (f *fake) requests() []string {
	asked := f.asked
	f.asked = nil
	return asked
}

func (f *fake) Digest(_ context.Context, tag string) (string, error) {
	if err := f.ask("digest " + tag); err != nil {
		return "", err
	}
	digest, found := f.tags[tag]
	if !found {
		return "", admission.ErrNotFound
	}
	return digest, nil
}

func (f *fake) Read(_ context.Context, reference string, wants admission.Wants) (admission.ImageInfo, error) {
	if err := f.ask("image " + reference); err != nil {
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

func (f *fake) Verify(_ context.Context, digest string) (string, string, error) {
	if err := f.ask("verify " + digest); err != nil {
		return "", "", err
	}
	if problem, bad := f.unsigned[digest]; bad {
		return "", problem, nil
	}
	return "ann", "", nil
}

// world is what a controller knows between its walks.
type world struct {
	t      *testing.T
	asker  *fake
	gates  admission.Gates
	tags   []string // best first
	facts  map[string]admission.ImageInfo
	looks  admission.Rechecks
	held   admission.Current
	budget int
	again  time.Time
	// late are tags that came after the first scan.
	late bool
}

func newWorld(t *testing.T, tags ...string) *world {
	t.Helper()
	return &world{t: t, asker: newFake(), tags: tags, facts: map[string]admission.ImageInfo{}, budget: 16,
		gates: admission.Gates{Platforms: []string{good}}}
}

const interval = 5 * time.Minute

// walk walks once, and keeps what it learned, as a controller does.
func (w *world) evaluate(now time.Time) (admission.Result, error) {
	w.t.Helper()
	snapshot := scan.Next(scan.Snapshot{}, "app", slices.Clone(w.tags), began)
	if w.late {
		snapshot = scan.Next(scan.Next(scan.Snapshot{}, "app", nil, began), "app", slices.Clone(w.tags), began.Add(time.Second))
	}
	before := maps.Clone(w.facts)
	in := admission.Input{Gates: w.gates, Snapshot: snapshot, Known: w.facts, Current: w.held, Budget: w.budget, Now: now,
		RecheckPolicy: admission.RecheckPolicy{Previous: w.looks, Interval: interval, RenewBefore: w.again}}
	result, err := admission.Evaluate(w.t.Context(), w.asker, in, func(yield func(selection.Choice) bool) {
		for _, tag := range w.tags {
			if !yield(selection.Choice{Tag: tag}) {
				return
			}
		}
	})
	NewWithT(w.t).Expect(w.facts).To(BeComparableTo(before), "the facts that are known were changed")
	maps.Copy(w.facts, result.Learned)
	if err != nil {
		looks := admission.Rechecks{}
		maps.Copy(looks, w.looks)
		maps.Copy(looks, result.Rechecks)
		w.looks = looks
	} else {
		w.looks, w.again = result.Rechecks, time.Time{}
	}
	return result, err
}

// picks walks once, and expects a pick, "" for none, and the requests.
func (w *world) picks(now time.Time, want string, requests ...string) admission.Result {
	w.t.Helper()
	g := NewWithT(w.t)
	result, err := w.evaluate(now)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(picked(result)).To(Equal(want), "picked")
	g.Expect(w.asker.requests()).To(BeComparableTo(requests), "requests")
	return result
}

// picked returns the tag and the digest of the pick, "" for none.
func picked(result admission.Result) string {
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
