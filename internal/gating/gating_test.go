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

package gating_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand"
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

// TestWalkDown asks of the best candidate first, and of no more than that takes.
func TestWalkDown(t *testing.T) {
	w := newWorld(t, "3", "2", "1")
	w.asker.push("3", "c", bad)
	w.asker.push("2", "b", good)
	w.asker.push("1", "a", good)
	walk := w.picks(began, "2@b", "digest 3", "image c", "digest 2", "image b")
	if got := verdicts(walk); got != "3 c Rejected platforms; 2 b Passed" {
		t.Error(got)
	}
	w.picks(began.Add(time.Second), "2@b", "digest 2") // what it points at is confirmed
	w.held = gating.Held{Tag: "2", Digest: "b"}
	w.picks(began.Add(2*time.Second), "2@b")
	w.held.Look = true
	if walk := w.picks(began.Add(3*time.Second), "2@b", "digest 2"); !walk.Looking {
		t.Error("that the tag was looked at is not told")
	}
}

// TestWalkOfAll: the digest that is picked is the one that was judged.
func TestWalkOfAll(t *testing.T) {
	w := newWorld(t, "3", "2")
	w.gates.Rule, w.gates.MinimumAge = "r", time.Hour
	w.asker.push("3", "c", good)
	w.asker.push("2", "b", good)
	w.asker.unsigned["c"] = "has no signature"
	walk := w.picks(began.Add(time.Hour), "2@b", "digest 3", "image c", "image c", "verify c", "digest 2", "image b", "image b", "verify b")
	if got := verdicts(walk); got != "3 c Rejected verify; 2 b Passed" {
		t.Error(got)
	}
	if got := walk.Judged[1].Message; got != "signed by ann" {
		t.Error(got)
	}
}

// TestBudget: a walk that asks about as many candidates as it may is gone on with.
// Nothing is asked twice, whatever the budget, and the answer is the same.
func TestBudget(t *testing.T) {
	random := rand.New(rand.NewSource(1)) //nolint:gosec // the same every time
	for range 200 {
		n, budget := 1+random.Intn(40), 1+random.Intn(10)
		w := newWorld(t)
		w.budget = budget
		want := ""
		for i := range n {
			tag, platform := fmt.Sprintf("t%02d", i), bad
			if random.Intn(12) == 0 {
				platform = good
			}
			w.tags = append(w.tags, tag)
			w.asker.push(tag, "d"+tag, platform)
			if want == "" && platform == good {
				want = tag + "@d" + tag
			}
		}
		walks := 1
		_, pick, err := w.walk(began)
		for ; errors.Is(err, gating.ErrUnfinished); walks++ {
			_, pick, err = w.walk(began.Add(time.Duration(walks) * time.Millisecond))
		}
		got := ""
		if pick != nil {
			got = pick.Tag + "@" + pick.Digest
		}
		if err != nil || got != want {
			t.Fatalf("%d candidates by %d: picked %q, want %q, %v", n, budget, got, want, err)
		}
		requests := w.asker.requests()
		if once := slices.Compact(slices.Sorted(slices.Values(requests))); len(once) != len(requests) {
			t.Fatalf("%d candidates by %d: something was asked twice: %q", n, budget, requests)
		}
		if most := n/budget + 1; walks > most {
			t.Fatalf("%d candidates by %d took %d walks", n, budget, walks)
		}
	}
}

// TestRejectedOnesAreLookedAtEverLess: the pause begins with the interval, doubles,
// and ends at a day.
func TestRejectedOnesAreLookedAtEverLess(t *testing.T) {
	w := newWorld(t, "1")
	w.asker.push("1", "a", bad)
	walk := w.picks(began, "", "digest 1", "image a")
	var pauses []time.Duration
	for now := began; len(pauses) < 14; {
		w.picks(walk.Next.Add(-time.Second), "") // too early
		next := walk.Next
		walk = w.picks(next, "", "digest 1")
		pauses = append(pauses, next.Sub(now))
		now = next
	}
	want := []time.Duration{interval, interval}
	for pause := 2 * interval; len(want) < 14; pause *= 2 {
		want = append(want, min(pause, 24*time.Hour))
	}
	if diff := cmp.Diff(want, pauses); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	w.asker.push("1", "a2", good)
	w.picks(walk.Next, "1@a2", "digest 1", "image a2")
}

// TestALookThatWasAskedFor renews all of them at once, and once.
func TestALookThatWasAskedFor(t *testing.T) {
	w := newWorld(t, "2", "1")
	w.asker.push("2", "b", bad)
	w.asker.push("1", "a", bad)
	w.picks(began, "", "digest 2", "image b", "digest 1", "image a")
	w.picks(began.Add(time.Minute), "")
	w.again = began.Add(2 * time.Minute)
	w.budget = 1
	if _, _, err := w.walk(began.Add(2 * time.Minute)); !errors.Is(err, gating.ErrUnfinished) {
		t.Fatal(err)
	}
	w.picks(began.Add(2*time.Minute+time.Millisecond), "", "digest 2", "digest 1")
	w.picks(began.Add(3*time.Minute), "")
}

// TestSignaturesThatComeLate: who signs after the push need not push again.
func TestSignaturesThatComeLate(t *testing.T) {
	w := newWorld(t, "1")
	w.gates = candidate.Gates{Rule: "r"}
	w.asker.push("1", "a", good)
	w.asker.unsigned["a"] = "has no signature"
	walk := w.picks(began, "", "digest 1", "verify a")
	w.picks(began.Add(time.Minute), "")
	w.asker.failing = []string{"verify"}
	if _, pick, err := w.walk(walk.Next); pick != nil || !errors.Is(err, errNoNet) {
		t.Fatalf("got %v, %v", pick, err)
	}
	w.asker.requests()
	w.asker.failing = nil
	delete(w.asker.unsigned, "a")
	_, pick, err := w.walk(walk.Next.Add(time.Second))
	if err != nil || pick == nil || *pick != (gating.Pick{Tag: "1", Digest: "a"}) {
		t.Errorf("got %v, %v", pick, err)
	}
	if got := w.asker.requests(); !slices.Contains(got, "verify a") {
		t.Errorf("what was rejected passes unasked: %q", got)
	}
}

// TestMovedTagOfWhatIsSelected: what passed stays until its tag points at something
// that passes, too.
func TestMovedTagOfWhatIsSelected(t *testing.T) {
	moved := func(t *testing.T, platform string) *world {
		w := newWorld(t, "2", "1")
		w.late = true
		w.asker.push("2", "b", good)
		w.asker.push("1", "a", good)
		w.picks(began, "2@b", "digest 2", "image b")
		w.asker.push("2", "b2", platform)
		w.held = gating.Held{Tag: "2", Digest: "b", Look: true}
		return w
	}
	t.Run("to one that passes", func(t *testing.T) {
		moved(t, good).picks(began, "2@b2", "digest 2", "image b2")
	})
	t.Run("to one that does not", func(t *testing.T) {
		w := moved(t, bad)
		w.held.Passed = true
		walk := w.picks(began, "2@b", "digest 2", "image b2")
		if got := verdicts(walk); got != "2 b2 Kept platforms" {
			t.Error(got)
		}
		if got := walk.Judged[0].Message; got != "does not provide linux/amd64, only windows/amd64; b, which passed before, stays selected" {
			t.Error(got)
		}
		if w.facts["2"].Digest != "b2" {
			t.Errorf("the facts are about %q, which the tag does not point at", w.facts["2"].Digest)
		}
		if walk.Next.IsZero() {
			t.Error("it is never looked at again")
		}
		w.held.Look = false
		w.picks(began.Add(time.Second), "2@b")
	})
	t.Run("to one that is too young", func(t *testing.T) {
		w := moved(t, good)
		w.gates.MinimumAge, w.held.Passed = time.Hour, true
		walk := w.picks(began.Add(time.Minute), "2@b", "digest 2")
		if got := verdicts(walk); got != "2 b2 Kept minimumAge" || !walk.Judged[0].EligibleAt.Time.Equal(began.Add(61*time.Minute)) {
			t.Errorf("%s, eligible at %s", got, walk.Judged[0].EligibleAt)
		}
		if !walk.Next.Equal(began.Add(61 * time.Minute)) {
			t.Errorf("the next walk is at %s", walk.Next)
		}
		w.picks(walk.Next, "2@b2", "digest 2", "image b2")
	})
	t.Run("and the gates were changed, so that neither passes", func(t *testing.T) {
		w := moved(t, bad)
		w.gates.Rule = "r"
		w.asker.unsigned["b"] = "has no signature"
		w.picks(began, "1@a", "digest 2", "image b2", "image b", "verify b", "digest 1", "image a", "verify a")
	})
	t.Run("nobody looks where that is not wanted", func(t *testing.T) {
		w := moved(t, bad)
		w.held.Look, w.held.Passed = false, true
		w.picks(began, "2@b")
	})
}

// TestHeldIsJudgedByNewGates: but not by its age.
func TestHeldIsJudgedByNewGates(t *testing.T) {
	w := newWorld(t, "2", "1")
	w.late = true
	w.asker.push("2", "b", bad)
	w.asker.push("1", "a", good)
	w.held = gating.Held{Tag: "2", Digest: "b"}
	w.gates = candidate.Gates{MinimumAge: time.Hour}
	w.picks(began, "2@b")
	w.gates.Platforms = []string{good}
	walk := w.picks(began, "", "image b", "digest 1")
	if got := verdicts(walk); got != "2 b Rejected platforms; 1 a Ripening minimumAge" {
		t.Error(got)
	}
}

// TestRipening costs nothing until it is over. Then what the tag points at counts.
func TestRipening(t *testing.T) {
	w := newWorld(t, "2", "1")
	w.late = true
	w.gates = candidate.Gates{MinimumAge: time.Hour}
	w.asker.push("2", "b", good)
	w.asker.push("1", "a", good)
	w.held = gating.Held{Tag: "1", Digest: "a"}
	walk := w.picks(began, "1@a", "digest 2")
	if got := verdicts(walk); got != "2 b Ripening minimumAge; 1 a Passed" || !walk.Next.Equal(began.Add(time.Hour)) {
		t.Errorf("%s, next at %s", got, walk.Next)
	}
	w.picks(began.Add(time.Hour-time.Second), "1@a")
	w.asker.push("2", "b2", good)
	walk = w.picks(began.Add(time.Hour), "1@a", "digest 2")
	if got := verdicts(walk); got != "2 b2 Ripening minimumAge; 1 a Passed" || !walk.Next.Equal(began.Add(2*time.Hour)) {
		t.Errorf("another image is as young as it is: %s, next at %s", got, walk.Next)
	}
	w.picks(began.Add(2*time.Hour), "2@b2", "digest 2")
}

// TestThereAtTheFirstScan: an image that was there before is judged by when it was
// created, and one that its tag was moved to by when that was seen.
func TestThereAtTheFirstScan(t *testing.T) {
	w := newWorld(t, "1")
	w.gates = candidate.Gates{MinimumAge: time.Hour}
	w.asker.push("1", "a", good)
	w.picks(began.Add(time.Hour), "1@a", "digest 1", "image a")
	w.asker.push("1", "a2", good)
	w.picks(began.Add(2*time.Hour), "", "digest 1")
	w.picks(began.Add(3*time.Hour), "1@a2", "digest 1")
}

// TestGoneTags: the list has a tag for which there is no image. Another one is selected.
func TestGoneTags(t *testing.T) {
	w := newWorld(t, "2", "1")
	w.asker.push("1", "a", good)
	walk := w.picks(began, "1@a", "digest 2", "digest 1", "image a")
	if got := verdicts(walk); got != "2  Rejected digest; 1 a Passed" {
		t.Error(got)
	}
	w.asker.push("2", "b", good)
	w.picks(walk.Next, "2@b", "digest 2", "image b")
}

// TestErrorsAreNoVerdicts: whatever fails, nothing is selected and nobody rejected,
// and another walk comes to the same as if nothing had failed.
func TestErrorsAreNoVerdicts(t *testing.T) {
	for _, failing := range []string{"digest 2", "image b", "verify b", "digest 1", "image a", "verify a"} {
		t.Run(failing, func(t *testing.T) {
			w := newWorld(t, "2", "1")
			w.gates.Rule = "r"
			w.asker.push("2", "b", good)
			w.asker.push("1", "a", good)
			w.asker.unsigned["b"] = "has no signature"
			w.asker.failing = []string{failing}
			walk, pick, err := w.walk(began)
			if pick != nil || !errors.Is(err, errNoNet) {
				t.Errorf("got %v, %v", pick, err)
			}
			if tag := map[byte]string{'2': "2", 'b': "2", '1': "1", 'a': "1"}[failing[len(failing)-1]]; strings.Contains(verdicts(walk), tag+" ") {
				t.Errorf("a verdict on %s was made up: %s", tag, verdicts(walk))
			}
			known := w.asker.requests()
			w.asker.failing = nil
			_, pick, err = w.walk(began.Add(time.Second))
			if err != nil || pick == nil || pick.Tag != "1" {
				t.Errorf("got %v, %v", pick, err)
			}
			for _, request := range w.asker.requests() {
				if request != failing && !strings.HasPrefix(request, "digest") && slices.Contains(known, request) {
					t.Errorf("%q was asked again", request)
				}
			}
		})
	}
}

// TestReadCreated reads the times of images, at the tag that they are listed under.
func TestReadCreated(t *testing.T) {
	asker := newFake()
	var tags []string
	for i := range 20 {
		tag := fmt.Sprint(i)
		tags = append(tags, tag)
		asker.push(tag, "d"+tag, good)
	}
	delete(asker.tags, "7")
	known := map[string]candidate.Fact{"3": {Digest: "d3", Seen: 5, Read: true}, "4": {Digest: "old", Seen: 5, Created: 9}}
	learned, err := gating.ReadCreated(t.Context(), asker, tags, known, began)
	if err != nil || len(learned) != len(tags) {
		t.Fatalf("%d are known, %v", len(learned), err)
	}
	for tag, want := range map[string]candidate.Fact{
		"1": {Digest: "d1", Seen: began.Unix(), Created: began.Unix() - 1},
		"3": {Digest: "d3", Seen: 5, Read: true, Created: began.Unix() - 1},
		"4": {Digest: "d4", Seen: began.Unix(), Moved: true, Created: began.Unix() - 1},
		"7": {Seen: began.Unix(), Created: candidate.CreatedUnsaid},
	} {
		if diff := cmp.Diff(want, learned[tag]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tag, diff)
		}
	}
	if got := len(asker.requests()); got != len(tags) {
		t.Errorf("%d requests", got)
	}
}

// TestReadCreatedIsGoneOnWith: what was read before a failure is known.
func TestReadCreatedIsGoneOnWith(t *testing.T) {
	asker := newFake()
	var tags []string
	for i := range 40 {
		tag := fmt.Sprintf("%02d", i)
		tags = append(tags, tag)
		asker.push(tag, "d"+tag, good)
	}
	asker.failing = []string{"image 20"}
	learned, err := gating.ReadCreated(t.Context(), asker, tags, nil, began)
	if !errors.Is(err, errNoNet) {
		t.Fatal(err)
	}
	if _, known := learned["20"]; known || len(learned) < 16 {
		t.Errorf("%d are known", len(learned))
	}
	asker.requests()
	asker.failing = nil
	rest := slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { _, known := learned[tag]; return known })
	more, err := gating.ReadCreated(t.Context(), asker, rest, nil, began)
	if err != nil || len(more)+len(learned) != len(tags) {
		t.Errorf("%d and %d are known, %v", len(learned), len(more), err)
	}
}
