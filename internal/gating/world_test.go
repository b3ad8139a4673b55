// SPDX-License-Identifier: Apache-2.0

package gating_test

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

	"github.com/google/go-cmp/cmp"

	"github.com/fluxcd/image-reflector-controller/internal/candidate"
	"github.com/fluxcd/image-reflector-controller/internal/gating"
	"github.com/fluxcd/image-reflector-controller/internal/inspect"
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
	images map[string]inspect.Image
	// unsigned are digests, and what is wrong with their signatures.
	unsigned map[string]string
	// failing fails the requests that begin with one of these.
	failing []string
	asked   []string
}

func newFake() *fake {
	return &fake{tags: map[string]string{}, images: map[string]inspect.Image{}, unsigned: map[string]string{}}
}

// push pushes an image under a tag. Its digest is that of its name.
func (f *fake) push(tag, digest, platform string) {
	f.tags[tag] = digest
	f.images[digest] = inspect.Image{Digest: digest, Read: true, Platforms: []string{platform}, Created: began.Unix() - 1}
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
		return "", gating.ErrGone
	}
	return digest, nil
}

func (f *fake) Image(_ context.Context, reference string, wants inspect.Wants) (inspect.Image, error) {
	if err := f.ask("image " + reference); err != nil {
		return inspect.Image{}, err
	}
	if digest, isTag := f.tags[reference]; isTag {
		reference = digest
	}
	img, found := f.images[reference]
	if !found {
		return inspect.Image{}, gating.ErrGone
	}
	if !wants.Platforms {
		img.Read, img.Platforms = false, nil
	}
	if !wants.Created {
		img.Created = candidate.CreatedUnread
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
	gates  candidate.Gates
	tags   []string // best first
	facts  map[string]candidate.Fact
	looks  gating.Looks
	held   gating.Held
	budget int
	again  time.Time
	// late are tags that came after the first scan.
	late bool
}

func newWorld(t *testing.T, tags ...string) *world {
	t.Helper()
	return &world{t: t, asker: newFake(), tags: tags, facts: map[string]candidate.Fact{}, budget: 16,
		gates: candidate.Gates{Platforms: []string{good}}}
}

const interval = 5 * time.Minute

// walk walks once, and keeps what it learned, as a controller does.
func (w *world) walk(now time.Time) (*gating.Walk, *gating.Pick, error) {
	w.t.Helper()
	snapshot := scan.Next(scan.Snapshot{}, "app", slices.Clone(w.tags), began)
	if w.late {
		snapshot = scan.Next(scan.Next(scan.Snapshot{}, "app", nil, began), "app", slices.Clone(w.tags), began.Add(time.Second))
	}
	before := maps.Clone(w.facts)
	walk := &gating.Walk{Gates: w.gates, Asker: w.asker, Snapshot: snapshot, Facts: w.facts, Held: w.held, Looks: w.looks,
		Interval: interval, LookAgain: w.again, Budget: w.budget, Now: now}
	pick, err := walk.Best(w.t.Context(), func(yield func(selection.Choice) bool) {
		for _, tag := range w.tags {
			if !yield(selection.Choice{Tag: tag}) {
				return
			}
		}
	})
	if diff := cmp.Diff(before, w.facts); diff != "" {
		w.t.Errorf("the facts that are known were changed:\n%s", diff)
	}
	maps.Copy(w.facts, walk.Learned)
	if err != nil {
		looks := gating.Looks{}
		maps.Copy(looks, w.looks)
		maps.Copy(looks, walk.Looked)
		w.looks = looks
	} else {
		w.looks, w.again = walk.Looked, time.Time{}
	}
	return walk, pick, err
}

// picks walks once, and expects a pick, "" for none, and the requests.
func (w *world) picks(now time.Time, want string, requests ...string) *gating.Walk {
	w.t.Helper()
	walk, pick, err := w.walk(now)
	if err != nil {
		w.t.Fatal(err)
	}
	got := ""
	if pick != nil {
		got = pick.Tag + "@" + pick.Digest
	}
	if got != want {
		w.t.Errorf("picked %q, want %q", got, want)
	}
	if diff := cmp.Diff(requests, w.asker.requests()); diff != "" {
		w.t.Errorf("requests (-want +got):\n%s", diff)
	}
	return walk
}

func verdicts(walk *gating.Walk) string {
	var all []string
	for _, c := range walk.Judged {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", c.Tag, c.Digest, c.Verdict, c.Gate)))
	}
	return strings.Join(all, "; ")
}
