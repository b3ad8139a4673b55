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

// crashDir is the environment variable that makes this test binary a writer to the store in that
// directory until it is killed. crashFrom contains the number of the first step of each worker.
const (
	crashDir  = "STORE_CRASH_DIR"
	crashFrom = "STORE_CRASH_FROM"
	killsEnv  = "STORE_KILLS"

	crashWorkers = 3
	crashKeys    = 12
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(dir, strings.Split(os.Getenv(crashFrom), ",")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// model is the expected state of a worker's keys, by the number of the key.
type model map[int]crashState

// crashState holds the numbers of the steps that put the snapshot and the facts of a key.
type crashState struct {
	snapshot int
	facts    map[string]int
}

// crashFacts returns the facts that step n puts: of different tags for each n.
func crashFacts(n int) map[string]admission.ImageInfo {
	facts := map[string]admission.ImageInfo{}
	for i := range n * 31 % 60 {
		facts[fmt.Sprint((i*7+n)%100)] = testFact(n)
	}
	return facts
}

// putCrashSnapshot applies the snapshot of step n to a model. Another image removes the facts.
func (m model) putCrashSnapshot(k, n int) {
	stored, ok := m[k]
	if !ok || crashSnapshot(stored.snapshot).Image != crashSnapshot(n).Image {
		stored.facts = map[string]int{}
	}
	m[k] = crashState{n, stored.facts}
}

// putCrashFacts applies the facts of step n to a model, and to a store unless that is nil. Without
// a snapshot no facts are stored.
func (m model) putCrashFacts(tags *Store, worker, k, n int) error {
	if stored, ok := m[k]; ok {
		for tag := range crashFacts(n) {
			stored.facts[tag] = n
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

// step applies the n-th step of a worker to a model, and to a store unless that is nil. Each worker
// has its own keys, and its steps depend only on their number.
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

// crashSnapshot returns the snapshot that step n puts: the tags differ for each n. Every fourth has
// another image.
func crashSnapshot(n int) scan.Snapshot {
	s := scan.Snapshot{Image: fmt.Sprint("image-", n%4/3), Since: int64(n)}
	for i := range n * 7919 % 2000 {
		s.Tags = append(s.Tags, fmt.Sprintf("%08d-%x", i, uint32((i+n)*2654435761)))
		s.FirstSeen = append(s.FirstSeen, int64(n+i))
	}
	return s
}

// writeUntilKilled runs steps of all workers, and prints the worker and number of each acknowledged
// step.
func writeUntilKilled(dir string, firstSteps []string) error {
	fmt.Println("started")
	tags := New(dir, Options{Report: func(r Report) { fmt.Println("report", r.Kind) }})
	var wg sync.WaitGroup
	failed := make(chan error, crashWorkers)
	for worker := range crashWorkers {
		first, err := strconv.Atoi(firstSteps[worker])
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

// crashFixture is the expected state of a store whose writers are killed.
type crashFixture struct {
	dir    string
	models [crashWorkers]model // acknowledged state
	next   [crashWorkers]int   // the next step
	steps  int
}

func newCrashFixture(t *testing.T) *crashFixture {
	f := &crashFixture{dir: t.TempDir()}
	for i := range f.models {
		f.models[i] = model{}
	}
	return f
}

// TestStore_SurvivesKills repeatedly kills a writer at random times, also while it opens a new or
// existing store. All acknowledged steps and at most one more per worker must be applied
// completely, and no damage may be found.
func TestStore_SurvivesKills(t *testing.T) {
	kills := 40
	if n, err := strconv.Atoi(os.Getenv(killsEnv)); err == nil {
		kills = n
	}
	const seed = 20
	random := rand.New(rand.NewPCG(seed, seed))
	fixture := newCrashFixture(t)
	steps, early, more := 0, 0, 0
	for round := range kills {
		if round%10 == 0 { // a new store
			steps += fixture.steps
			fixture = newCrashFixture(t)
		}
		before := fixture.steps
		fixture.kill(t, time.Duration(random.IntN(120))*time.Millisecond)
		if fixture.steps == before {
			early++
		}
		extra, err := fixture.verify(t)
		NewWithT(t).Expect(err).NotTo(HaveOccurred(), "round %d (seed %d)", round, seed)
		more += extra
	}
	t.Logf("%d kills, %d of them before the first acknowledged write; %d writes acknowledged, %d applied without",
		kills, early, steps+fixture.steps, more)
}

// kill starts a writer, kills it after some time, and records the acknowledged steps.
func (f *crashFixture) kill(t *testing.T, after time.Duration) {
	t.Helper()
	g := NewWithT(t)
	var firstSteps []string
	for _, n := range f.next {
		firstSteps = append(firstSteps, strconv.Itoa(n))
	}
	writer := exec.CommandContext(t.Context(), os.Args[0])
	writer.Env = append(os.Environ(), crashDir+"="+f.dir, crashFrom+"="+strings.Join(firstSteps, ","))
	writer.Stderr = os.Stderr
	out, err := writer.StdoutPipe()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(writer.Start()).To(Succeed())
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // an incomplete last line is ignored
		}
		if line == "started\n" {
			time.AfterFunc(after, func() { _ = writer.Process.Kill() })
			continue
		}
		f.record(t, line)
	}
	var exit *exec.ExitError
	if err := writer.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the writer exited: %v", err)
	}
}

// record adds a step that a writer acknowledged.
func (f *crashFixture) record(t *testing.T, line string) {
	t.Helper()
	var worker, n int
	if _, err := fmt.Sscan(line, &worker, &n); err != nil || n != f.next[worker] {
		t.Fatalf("unexpected output of the writer: %q", strings.TrimSpace(line))
	}
	_ = step(nil, worker, n, f.models[worker]) // steps of a model do not fail
	f.next[worker]++
	f.steps++
}

// verify opens the store and compares its content with the acknowledged steps. It returns the
// number of steps that were applied without acknowledgement, and adds them to the models.
func (f *crashFixture) verify(t *testing.T) (int, error) {
	t.Helper()
	tags, reports := openStore(t, f.dir)
	defer closeStore(t, tags)
	stored := [crashWorkers]model{}
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
		if stored[worker] == nil {
			stored[worker] = model{}
		}
		facts, err := storedCrashFacts(t, tags, key)
		if err != nil {
			return 0, err
		}
		stored[worker][k] = crashState{int(got.Since), facts}
	}
	if len(*reports) > 0 {
		return 0, errors.New((*reports)[0].String())
	}
	return f.compare(stored)
}

// storedCrashFacts returns the steps that put the facts of a key.
func storedCrashFacts(t *testing.T, tags *Store, key Key) (map[string]int, error) {
	t.Helper()
	facts, err := tags.Facts(t.Context(), key)
	if err != nil {
		return nil, err
	}
	steps := map[string]int{}
	for tag, fact := range facts {
		n := int(fact.DigestSince)
		if !reflect.DeepEqual(fact, testFact(n)) {
			return nil, fmt.Errorf("the fact of %s in %s is damaged", tag, key)
		}
		steps[tag] = n
	}
	return steps, nil
}

// compare compares the stored data with the acknowledged steps. A key that is being removed may
// have lost only its facts.
func (f *crashFixture) compare(stored [crashWorkers]model) (int, error) {
	more := 0
	for worker := range stored {
		if sameModel(stored[worker], f.models[worker]) {
			continue
		}
		before := maps.Clone(f.models[worker])
		_ = step(nil, worker, f.next[worker], f.models[worker]) // steps of a model do not fail
		for k, previous := range before {
			if _, still := f.models[worker][k]; !still && len(stored[worker][k].facts) == 0 && stored[worker][k].snapshot == previous.snapshot {
				f.models[worker][k] = crashState{previous.snapshot, map[string]int{}}
			}
		}
		if !sameModel(stored[worker], f.models[worker]) {
			return 0, fmt.Errorf("worker %d stored %v, want %v, or %v after step %d",
				worker, stored[worker], before, f.models[worker], f.next[worker])
		}
		f.next[worker]++
		more++
	}
	return more, nil
}

func sameModel(a, b model) bool {
	return maps.EqualFunc(a, b, func(a, b crashState) bool { return a.snapshot == b.snapshot && maps.Equal(a.facts, b.facts) })
}
