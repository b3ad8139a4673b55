// SPDX-License-Identifier: Apache-2.0

package tagstoretest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/tagstore"
)

type facts = map[string]admission.Fact

// fact returns one with all that it may have; n tells it from others.
func fact(n int) admission.Fact {
	return admission.Fact{
		Digest: fmt.Sprintf("sha256:%064x", n), Seen: int64(n), Moved: n%2 == 0, Read: true, Created: 1_600_000_000 + int64(n),
		Platforms: []string{"linux/amd64", "linux/arm64/v8", "plan9/mips"},
		Verdicts: []admission.Verdict{
			{Rule: "cosign", Since: 5, At: int64(n), Signer: "somebody"}, {Rule: "notation", Since: 7, At: 6, Problem: "no signature"},
		},
	}
}

func putFacts(t *testing.T, store tagstore.Store, k tagstore.Key, put facts) {
	t.Helper()
	if err := store.PutFacts(t.Context(), k, put); err != nil {
		t.Fatalf("PutFacts(%s) = %v", k, err)
	}
}

// wantFacts expects these facts and no others, however they are read.
func wantFacts(t *testing.T, store tagstore.Store, k tagstore.Key, want facts) {
	t.Helper()
	got, err := store.Facts(t.Context(), k)
	if err != nil || got == nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Fatalf("Facts(%s) = %v, %v, want %v", k, got, err, want)
	}
	for tag, fact := range want {
		got, err := store.Fact(t.Context(), k, "no such tag", tag)
		if err != nil || !reflect.DeepEqual(got, facts{tag: fact}) {
			t.Fatalf("Fact(%s, %q) = %v, %v, want %v", k, tag, got, err, fact)
		}
	}
	if got, err := store.Fact(t.Context(), k); err != nil || got == nil || len(got) > 0 {
		t.Fatalf("Fact(%s) of no tags = %v, %v", k, got, err)
	}
}

func factsRoundTrip(t *testing.T, store tagstore.Store, _ *Clock) {
	k := key("ns", "repo", "uid")
	put(t, store, k, snapshot("image", "", "1", "2", "3", "\xff"))
	want := facts{
		"":     {},
		"1":    fact(1),
		"2":    {Digest: "sha512:" + strings.Repeat("ab", 64), Seen: -1 << 63, Created: 1<<63 - 1},
		"3":    {Digest: "SHA256:" + strings.Repeat("A", 64), Verdicts: []admission.Verdict{{Since: -1 << 63, At: 1<<63 - 1}}},
		"\xff": {Platforms: []string{""}, Moved: true},
	}
	wantFacts(t, store, k, nil)
	for range 2 {
		putFacts(t, store, k, want)
		wantFacts(t, store, k, want)
	}
	putFacts(t, store, k, facts{"2": fact(2)})
	want["2"] = fact(2)
	putFacts(t, store, k, nil)
	wantFacts(t, store, k, want)
	wantHeld(t, store, k, snapshot("image", "", "1", "2", "3", "\xff"))
	wantKeys(t, store, k)
}

func factsNeedTags(t *testing.T, store tagstore.Store, _ *Clock) {
	k := key("ns", "repo", "uid")
	put(t, store, key("ns", "repo", "another"), snapshot("image", "1"))
	for _, put := range []facts{nil, {"1": fact(1)}} {
		if err := store.PutFacts(t.Context(), k, put); !errors.Is(err, tagstore.ErrNotFound) {
			t.Errorf("PutFacts() without a snapshot = %v, want ErrNotFound", err)
		}
	}
	wantFacts(t, store, k, nil)
	wantFacts(t, store, key("ns", "repo", "another"), nil)
	wantKeys(t, store, key("ns", "repo", "another"))
}

func factsIsolation(t *testing.T, store tagstore.Store, _ *Clock) {
	for i, k := range tricky {
		put(t, store, k, snapshot("image", "1"))
		putFacts(t, store, k, facts{"1": fact(i)})
	}
	for i, k := range tricky {
		wantFacts(t, store, k, facts{"1": fact(i)})
	}
}

// factsGoWithTags removes tags in every way, and puts them again: facts begin anew.
func factsGoWithTags(t *testing.T, store tagstore.Store, _ *Clock) {
	kept, gone := key("ns", "kept", "uid"), key("ns", "gone", "uid")
	put(t, store, kept, snapshot("image", "1"))
	putFacts(t, store, kept, facts{"1": fact(1)})
	for i, remove := range []func() error{
		func() error { return store.Put(t.Context(), gone, snapshot("other", "1", "2")) },
		func() error { return store.Delete(t.Context(), gone) },
		func() error {
			return store.Forget(t.Context(), types.NamespacedName{Namespace: "ns", Name: "gone"}, "another")
		},
		func() error {
			n, err := store.Sweep(t.Context(), func(k tagstore.Key) bool { return k != gone })
			if n != 1 {
				t.Errorf("Sweep() = %d", n)
			}
			return err
		},
	} {
		put(t, store, gone, snapshot("image", "1", "2"))
		wantFacts(t, store, gone, nil) // also where what was there before is put anew
		putFacts(t, store, gone, facts{"1": fact(2), "2": fact(3)})
		if err := remove(); err != nil {
			t.Fatalf("way %d: %v", i, err)
		}
		wantFacts(t, store, gone, nil)
		wantFacts(t, store, kept, facts{"1": fact(1)})
	}
}

// factsOfGoneTags has a registry that forgets tags for a while, and one for good.
func factsOfGoneTags(t *testing.T, store tagstore.Store, clock *Clock) {
	k := key("ns", "repo", "uid")
	all := facts{"a": fact(1), "b": fact(2), "c": fact(3), "d": fact(4)}
	put(t, store, k, snapshot("image", "a", "b", "c", "d"))
	putFacts(t, store, k, all)
	put(t, store, k, snapshot("image", "b", "c")) // a and d are gone
	wantFacts(t, store, k, all)
	clock.Advance(tagstore.FactGrace - time.Hour)
	put(t, store, k, snapshot("image", "b", "c", "d")) // d is back, in time
	wantFacts(t, store, k, all)
	clock.Advance(2 * time.Hour)
	put(t, store, k, snapshot("image", "b", "c", "d"))
	wantFacts(t, store, k, all)                   // nothing changed, so nothing is done
	put(t, store, k, snapshot("image", "b", "c")) // d is gone anew
	delete(all, "a")
	wantFacts(t, store, k, all)
	put(t, store, k, snapshot("image", "a", "b", "c")) // a comes back too late
	wantFacts(t, store, k, all)
	clock.Advance(-tagstore.FactGrace) // it was wrong: what is to come is now
	put(t, store, k, snapshot("image", "a", "b"))
	clock.Advance(tagstore.FactGrace + time.Second)
	wantFacts(t, store, k, all)
	put(t, store, k, snapshot("image", "x"))
	wantFacts(t, store, k, facts{"b": all["b"]})
	clock.Advance(tagstore.FactGrace + time.Second)
	put(t, store, k, snapshot("image", "y"))
	wantFacts(t, store, k, nil)
	putFacts(t, store, k, facts{"b": fact(9)})
	wantFacts(t, store, k, facts{"b": fact(9)})
}

func factsInvalid(t *testing.T, store tagstore.Store, _ *Clock) {
	k := key("ns", "repo", "uid")
	put(t, store, k, snapshot("image", "1"))
	long := strings.Repeat("x", tagstore.MaxFactText+1)
	for reason, bad := range map[string]facts{
		"a long tag":      {long: {}},
		"a long digest":   {"1": {Digest: long}},
		"a long platform": {"1": {Platforms: []string{long}}},
		"many platforms":  {"1": {Platforms: make([]string, tagstore.MaxPlatforms+1)}},
		"many verdicts":   {"1": {Verdicts: make([]admission.Verdict, admission.MaxVerdicts+1)}},
		"a long rule":     {"1": {Verdicts: []admission.Verdict{{Rule: long}}}},
		"a long signer":   {"1": {Verdicts: []admission.Verdict{{Signer: long}}}},
		"a long problem":  {"1": {Verdicts: []admission.Verdict{{Problem: long}}}},
	} {
		bad["2"] = fact(2)
		if err := store.PutFacts(t.Context(), k, bad); !errors.Is(err, tagstore.ErrInvalid) {
			t.Errorf("PutFacts() of %s = %v, want ErrInvalid", reason, err)
		}
	}
	wantFacts(t, store, k, nil)
	most := strings.Repeat("x", tagstore.MaxFactText)
	largest := admission.Fact{Digest: most, Platforms: make([]string, tagstore.MaxPlatforms)}
	for i := range largest.Platforms {
		largest.Platforms[i] = most
	}
	for range admission.MaxVerdicts {
		largest.Verdicts = append(largest.Verdicts, admission.Verdict{Rule: most, Signer: most, Problem: most})
	}
	putFacts(t, store, k, facts{most: largest})
	wantFacts(t, store, k, facts{most: largest})
}

func factsAliasing(t *testing.T, store tagstore.Store, _ *Clock) {
	k := key("ns", "repo", "uid")
	put(t, store, k, snapshot("image", "1"))
	given := facts{"1": fact(1)}
	putFacts(t, store, k, given)
	given["1"].Platforms[0], given["1"].Verdicts[0].Rule = "changed", "changed"
	given["2"] = fact(2)
	got, err := store.Facts(t.Context(), k)
	if err != nil {
		t.Fatalf("Facts() = %v", err)
	}
	got["1"].Platforms[0], got["1"].Verdicts[0].Rule = "changed", "changed"
	got["2"] = fact(2)
	wantFacts(t, store, k, facts{"1": fact(1)})
}

// manyFacts has a hundred thousand, changes a few, and removes all.
func manyFacts(t *testing.T, store tagstore.Store, _ *Clock) {
	k := key("ns", "large", "uid")
	put(t, store, k, snapshot("image", "1"))
	want := facts{}
	for i := range 100_000 {
		want[fmt.Sprintf("v1.%d.%d", i/1000, i%1000)] = fact(i)
	}
	putFacts(t, store, k, want)
	few := facts{}
	for i := range 50 {
		few[fmt.Sprintf("v1.%d.%d", i*2, i)] = fact(-i)
	}
	putFacts(t, store, k, few)
	maps.Copy(want, few)
	if got, err := store.Facts(t.Context(), k); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("Facts() = %d facts, %v", len(got), err)
	}
	if err := store.Delete(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	put(t, store, k, snapshot("image", "1"))
	wantFacts(t, store, k, nil)
}

// factsConcurrent has workers that put facts of their own tags of one key, others
// that put its snapshot, and others that read: they see all of a call or nothing.
func factsConcurrent(t *testing.T, store tagstore.Store, _ *Clock) {
	const workers, rounds = 4, 30
	k := key("ns", "repo", "uid")
	put(t, store, k, snapshot("image", "1"))
	name := func(worker int) [2]string {
		return [2]string{fmt.Sprintf("%d-a", worker), fmt.Sprintf("%d-b", worker)}
	}
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for round := range rounds {
				tags := name(worker)
				err := store.PutFacts(context.Background(), k, facts{tags[0]: fact(round), tags[1]: fact(round)})
				if err == nil && round%10 == worker {
					err = store.Put(context.Background(), k, snapshot("image", "1", fmt.Sprint("x", round)))
				}
				if err != nil {
					t.Errorf("worker %d: %v", worker, err)
				}
			}
		})
		wg.Go(func() {
			for range rounds {
				tags := name((worker + 1) % workers)
				got, err := store.Fact(context.Background(), k, tags[:]...)
				if err != nil || !reflect.DeepEqual(got[tags[0]], got[tags[1]]) {
					t.Errorf("Fact() = %v, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
	want := facts{}
	for worker := range workers {
		for _, tag := range name(worker) {
			want[tag] = fact(rounds - 1)
		}
	}
	wantFacts(t, store, k, want)
}
