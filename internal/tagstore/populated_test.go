// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// written is all that was ever put in a store, the latest last.
type written map[Key][]scan.Snapshot

func (w written) latest(key Key) scan.Snapshot {
	return w[key][len(w[key])-1]
}

// populated returns the bytes of a store's file with branches, pages with
// overflow and free pages, and what was written to it.
func populated(t testing.TB) ([]byte, written) {
	t.Helper()
	dir := t.TempDir()
	store, _ := opened(t, dir)
	wrote := written{}
	random := rand.New(rand.NewPCG(5, 5))
	for i := range 60 {
		key := Key{"namespace", fmt.Sprintf("repository-%d", i%40), "uid"}
		tags := make([]string, random.IntN(800))
		for i := range tags {
			tags[i] = fmt.Sprintf("%x", random.Uint64())
		}
		s := scan.Next(scan.Snapshot{}, "image", tags, time.Unix(int64(i), 0))
		if err := store.Put(t.Context(), key, s); err != nil {
			t.Fatal(err)
		}
		wrote[key] = append(wrote[key], s)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	return content, wrote
}

// populatedWithFacts returns what populated does, of a store that has facts too, of
// so many tags that they have branches, and of so few that they have no page.
func populatedWithFacts(t testing.TB) ([]byte, written) {
	t.Helper()
	content, wrote := populated(t)
	dir := t.TempDir()
	write(t, dir, fileName, content)
	store, _ := opened(t, dir)
	for i, n := range []int{400, 1, 60, 1000, 3, 0, 200} {
		key := Key{"namespace", fmt.Sprintf("repository-%d", i*5), "uid"}
		mustPut(t, store, key, wrote.latest(key))
		for at := 0; at < n; at += 100 {
			mustPutFacts(t, store, key, damageFacts(at, min(n, at+100)))
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	return content, wrote
}

// damageFacts returns facts of the tags with these numbers.
func damageFacts(from, to int) factMap {
	facts := factMap{}
	for i := from; i < to; i++ {
		facts[fmt.Sprintf("tag-%d", i)] = someFact(i)
	}
	return facts
}

// wantTrueFacts expects all facts that are found to be what was put.
func wantTrueFacts(t testing.TB, store *Bolt, key Key) int {
	t.Helper()
	facts, err := store.Facts(t.Context(), key)
	if err != nil {
		t.Fatalf("Facts(%s) = %v", key, err)
	}
	for tag, fact := range facts {
		if tag != fmt.Sprintf("tag-%d", fact.Seen) || !reflect.DeepEqual(fact, someFact(int(fact.Seen))) {
			t.Fatalf("Facts(%s) has for %s what was never put: %v", key, tag, fact)
		}
	}
	return len(facts)
}

// bothPopulated runs a test with a store that has no facts, and one that has.
func bothPopulated(t *testing.T, test func(t *testing.T, content []byte, wrote written)) {
	for name, populate := range map[string]func(testing.TB) ([]byte, written){"tags": populated, "facts": populatedWithFacts} {
		t.Run(name, func(t *testing.T) {
			content, wrote := populate(t)
			test(t, content, wrote)
		})
	}
}
