// SPDX-License-Identifier: Apache-2.0

//go:build linux

package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// crashDir names the variable that makes this test binary a writer, which
// writes to the store in that directory until it is killed. crashFrom names the
// one with the number of the first step of every worker.
const (
	crashDir  = "STORE_CRASH_DIR"
	crashFrom = "STORE_CRASH_FROM"
	killsEnv  = "STORE_KILLS"

	crashWorkers = 3
	crashKeys    = 12
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		fmt.Fprintln(os.Stderr, workForever(dir, strings.Split(os.Getenv(crashFrom), ",")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// model is what a worker's keys should hold, by the number of the key.
type model map[int]crashHeld

// crashHeld is the number of the step that put the snapshot of a key, and of those
// that put its facts.
type crashHeld struct {
	snapshot int
	facts    map[string]int
}

// crashFacts returns what step n puts: facts of some tags, fewer or more each time.
func crashFacts(n int) map[string]admission.ImageInfo {
	facts := map[string]admission.ImageInfo{}
	for i := range n * 31 % 60 {
		facts[fmt.Sprint((i*7+n)%100)] = someFact(n)
	}
	return facts
}

// putCrashSnapshot has a model hold what step n puts: facts are of an image.
func (m model) putCrashSnapshot(k, n int) {
	held, ok := m[k]
	if !ok || crashSnapshot(held.snapshot).Image != crashSnapshot(n).Image {
		held.facts = map[string]int{}
	}
	m[k] = crashHeld{n, held.facts}
}

// putCrashFacts has a model, and a store unless that is nil, hold what step n puts.
// Without a snapshot nothing is kept.
func (m model) putCrashFacts(tags *Store, worker, k, n int) error {
	if held, ok := m[k]; ok {
		for tag := range crashFacts(n) {
			held.facts[tag] = n
		}
	}
	if tags == nil {
		return nil
	}
	err := tags.PutFacts(context.Background(), crashKey(worker, k), crashFacts(n))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// step applies the n-th step of a worker to a model, and to a store unless that
// is nil. Every worker has its own keys, and its steps follow from their number.
func step(tags *Store, worker, n int, m model) error {
	ctx := context.Background()
	random := rand.New(rand.NewPCG(uint64(worker), uint64(n)))
	k := random.IntN(crashKeys)
	var err error
	switch kind := random.IntN(20); {
	case kind < 4:
		if tags != nil {
			err = tags.Delete(ctx, crashKey(worker, k))
		}
		delete(m, k)
	case kind == 4:
		if tags != nil {
			err = tags.Forget(ctx, crashKey(worker, k).NamespacedName(), "")
		}
		delete(m, k)
	case kind < 11:
		err = m.putCrashFacts(tags, worker, k, n)
	default:
		if tags != nil {
			err = tags.Put(ctx, crashKey(worker, k), crashSnapshot(n))
		}
		m.putCrashSnapshot(k, n)
	}
	return err
}

func crashKey(worker, k int) Key {
	return Key{fmt.Sprintf("worker-%d", worker), fmt.Sprintf("repo-%d", k), "uid"}
}

// crashSnapshot returns what step n puts: the tags tell n, and are more or
// fewer each time. Every fourth is of another image.
func crashSnapshot(n int) scan.Snapshot {
	s := scan.Snapshot{Image: fmt.Sprint("image-", n%4/3), Since: int64(n)}
	for i := range n * 7919 % 2000 {
		s.Tags = append(s.Tags, fmt.Sprintf("%08d-%x", i, uint32((i+n)*2654435761)))
		s.FirstSeen = append(s.FirstSeen, int64(n+i))
	}
	return s
}

// workForever has all workers make step after step, and prints the worker and
// the number of each one that the store acknowledged.
func workForever(dir string, from []string) error {
	fmt.Println("begins")
	tags := New(dir, Options{Report: func(r Report) { fmt.Println("report", r.Kind) }})
	var wg sync.WaitGroup
	failed := make(chan error, crashWorkers)
	for worker := range crashWorkers {
		first, err := strconv.Atoi(from[worker])
		if err != nil {
			return err
		}
		wg.Go(func() {
			for n := first; ; n++ {
				if err := step(tags, worker, n, model{}); err != nil {
					failed <- err
					return
				}
				fmt.Printf("%d %d\n", worker, n)
			}
		})
	}
	return <-failed
}

// crashWorld is what is known of the store of many killed writers.
type crashWorld struct {
	dir    string
	models [crashWorkers]model // as acknowledged
	next   [crashWorkers]int   // the step after that
	steps  int
}

func newCrashWorld(t *testing.T) *crashWorld {
	w := &crashWorld{dir: t.TempDir()}
	for i := range w.models {
		w.models[i] = model{}
	}
	return w
}

// TestStore_SurvivesKills kills a writer again and again, at random times: while it opens the
// store for the first time or again, while it puts and deletes. All that it had acknowledged must be there, and of each worker at
// most one step more, wholly or not at all; and nothing is found damaged.
func TestStore_SurvivesKills(t *testing.T) {
	kills := 40
	if n, err := strconv.Atoi(os.Getenv(killsEnv)); err == nil {
		kills = n
	}
	const seed = 20
	random := rand.New(rand.NewPCG(seed, seed))
	world := newCrashWorld(t)
	steps, early, more := 0, 0, 0
	for round := range kills {
		if round%10 == 0 { // a store that is new
			steps += world.steps
			world = newCrashWorld(t)
		}
		before := world.steps
		world.kill(t, time.Duration(random.IntN(120))*time.Millisecond)
		if world.steps == before {
			early++
		}
		extra, err := world.verify(t)
		NewWithT(t).Expect(err).NotTo(HaveOccurred(), "round %d (seed %d)", round, seed)
		more += extra
	}
	t.Logf("%d kills, %d of them before the first write was acknowledged; %d writes were acknowledged, %d were not but are there",
		kills, early, steps+world.steps, more)
}

// kill lets a writer run for some time and notes what it acknowledges.
func (w *crashWorld) kill(t *testing.T, after time.Duration) {
	t.Helper()
	g := NewWithT(t)
	var from []string
	for _, n := range w.next {
		from = append(from, strconv.Itoa(n))
	}
	writer := exec.CommandContext(t.Context(), os.Args[0])
	writer.Env = append(os.Environ(), crashDir+"="+w.dir, crashFrom+"="+strings.Join(from, ","))
	writer.Stderr = os.Stderr
	out, err := writer.StdoutPipe()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(writer.Start()).To(Succeed())
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // the last line may be cut off: it does not count
		}
		if line == "begins\n" {
			time.AfterFunc(after, func() { _ = writer.Process.Kill() })
			continue
		}
		w.note(t, line)
	}
	var exit *exec.ExitError
	if err := writer.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the writer ended by itself: %v", err)
	}
}

// note takes in a line that a writer printed.
func (w *crashWorld) note(t *testing.T, line string) {
	t.Helper()
	var worker, n int
	if _, err := fmt.Sscan(line, &worker, &n); err != nil || n != w.next[worker] {
		t.Fatalf("the writer said %q", strings.TrimSpace(line))
	}
	_ = step(nil, worker, n, w.models[worker]) // of a model, which does not fail
	w.next[worker]++
	w.steps++
}

// verify opens the store and compares all of it with what was acknowledged. It
// returns how many steps are there that were not, and counts them as made.
func (w *crashWorld) verify(t *testing.T) (int, error) {
	t.Helper()
	tags, reports := opened(t, w.dir)
	defer closed(t, tags)
	held := [crashWorkers]model{}
	keys, err := tags.Keys(t.Context())
	if err != nil {
		return 0, err
	}
	for _, key := range keys {
		var worker, k int
		if _, err := fmt.Sscanf(key.Namespace+" "+key.Name, "worker-%d repo-%d", &worker, &k); err != nil {
			return 0, err
		}
		got, err := tags.Get(t.Context(), key)
		if err != nil || !got.Equal(crashSnapshot(int(got.Since))) {
			return 0, fmt.Errorf("%s is damaged: %w", key, err)
		}
		if held[worker] == nil {
			held[worker] = model{}
		}
		facts, err := heldCrashFacts(t, tags, key)
		if err != nil {
			return 0, err
		}
		held[worker][k] = crashHeld{int(got.Since), facts}
	}
	if len(*reports) > 0 {
		return 0, errors.New((*reports)[0].String())
	}
	return w.compare(held)
}

// heldCrashFacts returns the steps that put the facts of a key.
func heldCrashFacts(t *testing.T, tags *Store, key Key) (map[string]int, error) {
	t.Helper()
	facts, err := tags.Facts(t.Context(), key)
	if err != nil {
		return nil, err
	}
	steps := map[string]int{}
	for tag, fact := range facts {
		n := int(fact.DigestSince)
		if !reflect.DeepEqual(fact, someFact(n)) {
			return nil, fmt.Errorf("the fact of %s in %s is damaged", tag, key)
		}
		steps[tag] = n
	}
	return steps, nil
}

// compare compares what is held with what was acknowledged. A key that is being removed
// may have lost its facts and no more.
func (w *crashWorld) compare(held [crashWorkers]model) (int, error) {
	more := 0
	for worker := range held {
		if sameModel(held[worker], w.models[worker]) {
			continue
		}
		before := maps.Clone(w.models[worker])
		_ = step(nil, worker, w.next[worker], w.models[worker]) // of a model, which does not fail
		for k, was := range before {
			if _, still := w.models[worker][k]; !still && len(held[worker][k].facts) == 0 && held[worker][k].snapshot == was.snapshot {
				w.models[worker][k] = crashHeld{was.snapshot, map[string]int{}}
			}
		}
		if !sameModel(held[worker], w.models[worker]) {
			return 0, fmt.Errorf("worker %d has %v, neither %v nor %v, which step %d makes of it",
				worker, held[worker], before, w.models[worker], w.next[worker])
		}
		w.next[worker]++
		more++
	}
	return more, nil
}

func sameModel(a, b model) bool {
	return maps.EqualFunc(a, b, func(a, b crashHeld) bool { return a.snapshot == b.snapshot && maps.Equal(a.facts, b.facts) })
}
