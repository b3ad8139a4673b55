// SPDX-License-Identifier: Apache-2.0

package storetest

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
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

type facts = map[string]admission.ImageInfo

// fact returns a fact with all fields set. It differs for each n.
func fact(n int) admission.ImageInfo {
	return admission.ImageInfo{
		Digest: fmt.Sprintf("sha256:%064x", n), DigestSince: int64(n), DigestChanged: n%2 == 0,
		Created: 1_600_000_000 + int64(n), PlatformsKnown: true, Platforms: []string{"linux/amd64", "linux/arm64/v8", "plan9/mips"},
		Revision: fmt.Sprintf("%040x", n), Source: "https://github.com/org/app",
		Verdicts: []admission.Verdict{
			{Rule: "cosign", Since: 5, At: int64(n), Signer: "signer"}, {Rule: "notation", Since: 7, At: 6, Problem: "no signature"},
		},
	}
}

func putFacts(t *testing.T, tags *store.Store, k store.Key, put facts) {
	t.Helper()
	if err := tags.PutFacts(t.Context(), k, put); err != nil {
		t.Fatalf("PutFacts(%s) = %v", k, err)
	}
}

// wantFacts expects exactly these facts.
func wantFacts(t *testing.T, tags *store.Store, k store.Key, want facts) {
	t.Helper()
	got, err := tags.Facts(t.Context(), k)
	if err != nil || got == nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Fatalf("Facts(%s) = %v, %v, want %v", k, got, err, want)
	}
}

func factsRoundTrip(t *testing.T, tags *store.Store, _ *Clock) {
	k := key("ns", "repo", "uid")
	put(t, tags, k, snapshot("image", "", "1", "2", "3", "\xff"))
	want := facts{
		"":     {},
		"1":    fact(1),
		"2":    {Digest: "sha512:" + strings.Repeat("ab", 64), DigestSince: -1 << 63, Created: 1<<63 - 1},
		"3":    {Digest: "SHA256:" + strings.Repeat("A", 64), Verdicts: []admission.Verdict{{Since: -1 << 63, At: 1<<63 - 1}}},
		"\xff": {Platforms: []string{""}, DigestChanged: true},
	}
	wantFacts(t, tags, k, nil)
	for range 2 {
		putFacts(t, tags, k, want)
		wantFacts(t, tags, k, want)
	}
	putFacts(t, tags, k, facts{"2": fact(2)})
	want["2"] = fact(2)
	putFacts(t, tags, k, nil)
	wantFacts(t, tags, k, want)
	wantStored(t, tags, k, snapshot("image", "", "1", "2", "3", "\xff"))
	wantKeys(t, tags, k)
}

func factsNeedTags(t *testing.T, tags *store.Store, _ *Clock) {
	k := key("ns", "repo", "uid")
	put(t, tags, key("ns", "repo", "another"), snapshot("image", "1"))
	for _, put := range []facts{nil, {"1": fact(1)}} {
		if err := tags.PutFacts(t.Context(), k, put); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("PutFacts() without a snapshot = %v, want ErrNotFound", err)
		}
	}
	wantFacts(t, tags, k, nil)
	wantFacts(t, tags, key("ns", "repo", "another"), nil)
	wantKeys(t, tags, key("ns", "repo", "another"))
}

func factsIsolation(t *testing.T, tags *store.Store, _ *Clock) {
	for i, k := range similarKeys {
		put(t, tags, k, snapshot("image", "1"))
		putFacts(t, tags, k, facts{"1": fact(i)})
	}
	for i, k := range similarKeys {
		wantFacts(t, tags, k, facts{"1": fact(i)})
	}
}

// factsRemovedWithTags removes tags in different ways and adds them again without facts.
func factsRemovedWithTags(t *testing.T, tags *store.Store, _ *Clock) {
	kept, removed := key("ns", "kept", "uid"), key("ns", "removed", "uid")
	put(t, tags, kept, snapshot("image", "1"))
	putFacts(t, tags, kept, facts{"1": fact(1)})
	for i, remove := range []func() error{
		func() error { return tags.Put(t.Context(), removed, snapshot("other", "1", "2")) },
		func() error { return tags.Delete(t.Context(), removed) },
		func() error {
			return tags.Forget(t.Context(), types.NamespacedName{Namespace: "ns", Name: "removed"}, "another")
		},
	} {
		put(t, tags, removed, snapshot("image", "1", "2"))
		wantFacts(t, tags, removed, nil) // also if the same tags are put again
		putFacts(t, tags, removed, facts{"1": fact(2), "2": fact(3)})
		if err := remove(); err != nil {
			t.Fatalf("removal %d: %v", i, err)
		}
		wantFacts(t, tags, removed, nil)
		wantFacts(t, tags, kept, facts{"1": fact(1)})
	}
}

// factsOfMissingTags covers tags that are missing from the list temporarily or permanently.
func factsOfMissingTags(t *testing.T, tags *store.Store, clock *Clock) {
	k := key("ns", "repo", "uid")
	all := facts{"a": fact(1), "b": fact(2), "c": fact(3), "d": fact(4)}
	put(t, tags, k, snapshot("image", "a", "b", "c", "d"))
	putFacts(t, tags, k, all)
	put(t, tags, k, snapshot("image", "b", "c")) // a and d are missing
	wantFacts(t, tags, k, all)
	clock.Advance(store.FactGrace - time.Hour)
	put(t, tags, k, snapshot("image", "b", "c", "d")) // d is back in time
	wantFacts(t, tags, k, all)
	clock.Advance(2 * time.Hour)
	put(t, tags, k, snapshot("image", "b", "c", "d"))
	wantFacts(t, tags, k, all)                   // an unchanged snapshot has no effect
	put(t, tags, k, snapshot("image", "b", "c")) // d is missing again
	delete(all, "a")
	wantFacts(t, tags, k, all)
	put(t, tags, k, snapshot("image", "a", "b", "c")) // a is back too late
	wantFacts(t, tags, k, all)
	clock.Advance(-store.FactGrace) // a wrong clock is corrected
	put(t, tags, k, snapshot("image", "a", "b"))
	clock.Advance(store.FactGrace + time.Second)
	wantFacts(t, tags, k, all)
	put(t, tags, k, snapshot("image", "x"))
	wantFacts(t, tags, k, facts{"b": all["b"]})
	clock.Advance(store.FactGrace + time.Second)
	put(t, tags, k, snapshot("image", "y"))
	wantFacts(t, tags, k, nil)
	putFacts(t, tags, k, facts{"b": fact(9)})
	wantFacts(t, tags, k, facts{"b": fact(9)})
}

func factsInvalid(t *testing.T, tags *store.Store, _ *Clock) {
	k := key("ns", "repo", "uid")
	put(t, tags, k, snapshot("image", "1"))
	long := strings.Repeat("x", store.MaxFactText+1)
	for reason, bad := range map[string]facts{
		"a long tag":      {long: {}},
		"a long digest":   {"1": {Digest: long}},
		"a long platform": {"1": {Platforms: []string{long}}},
		"many platforms":  {"1": {Platforms: make([]string, store.MaxPlatforms+1)}},
		"many verdicts":   {"1": {Verdicts: make([]admission.Verdict, admission.MaxVerdicts+1)}},
		"a long revision": {"1": {Revision: long}},
		"a long source":   {"1": {Source: long}},
		"a long rule":     {"1": {Verdicts: []admission.Verdict{{Rule: long}}}},
		"a long signer":   {"1": {Verdicts: []admission.Verdict{{Signer: long}}}},
		"a long problem":  {"1": {Verdicts: []admission.Verdict{{Problem: long}}}},
	} {
		bad["2"] = fact(2)
		if err := tags.PutFacts(t.Context(), k, bad); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("PutFacts() of %s = %v, want ErrInvalid", reason, err)
		}
	}
	wantFacts(t, tags, k, nil)
	longest := strings.Repeat("x", store.MaxFactText)
	largest := admission.ImageInfo{Digest: longest, Revision: longest, Source: longest, Platforms: make([]string, store.MaxPlatforms)}
	for i := range largest.Platforms {
		largest.Platforms[i] = longest
	}
	for range admission.MaxVerdicts {
		largest.Verdicts = append(largest.Verdicts, admission.Verdict{Rule: longest, Signer: longest, Problem: longest})
	}
	putFacts(t, tags, k, facts{longest: largest})
	wantFacts(t, tags, k, facts{longest: largest})
}

func factsAliasing(t *testing.T, tags *store.Store, _ *Clock) {
	k := key("ns", "repo", "uid")
	put(t, tags, k, snapshot("image", "1"))
	given := facts{"1": fact(1)}
	putFacts(t, tags, k, given)
	given["1"].Platforms[0], given["1"].Verdicts[0].Rule = "changed", "changed"
	given["2"] = fact(2)
	got, err := tags.Facts(t.Context(), k)
	if err != nil {
		t.Fatalf("Facts() = %v", err)
	}
	got["1"].Platforms[0], got["1"].Verdicts[0].Rule = "changed", "changed"
	got["2"] = fact(2)
	wantFacts(t, tags, k, facts{"1": fact(1)})
}

// manyFacts puts 100,000 facts, changes a few, and removes all.
func manyFacts(t *testing.T, tags *store.Store, _ *Clock) {
	k := key("ns", "large", "uid")
	put(t, tags, k, snapshot("image", "1"))
	want := facts{}
	for i := range 100_000 {
		want[fmt.Sprintf("v1.%d.%d", i/1000, i%1000)] = fact(i)
	}
	putFacts(t, tags, k, want)
	few := facts{}
	for i := range 50 {
		few[fmt.Sprintf("v1.%d.%d", i*2, i)] = fact(-i)
	}
	putFacts(t, tags, k, few)
	maps.Copy(want, few)
	if got, err := tags.Facts(t.Context(), k); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("Facts() = %d facts, %v", len(got), err)
	}
	if err := tags.Delete(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	put(t, tags, k, snapshot("image", "1"))
	wantFacts(t, tags, k, nil)
}

// factsConcurrent runs workers that put facts of their own tags or the snapshot of the same key,
// and others that read. They see all changes of a call or none.
func factsConcurrent(t *testing.T, tags *store.Store, _ *Clock) {
	const workers, rounds = 4, 30
	k := key("ns", "repo", "uid")
	put(t, tags, k, snapshot("image", "1"))
	name := func(worker int) [2]string {
		return [2]string{fmt.Sprintf("%d-a", worker), fmt.Sprintf("%d-b", worker)}
	}
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for round := range rounds {
				names := name(worker)
				err := tags.PutFacts(context.Background(), k, facts{names[0]: fact(round), names[1]: fact(round)})
				if err == nil && round%10 == worker {
					err = tags.Put(context.Background(), k, snapshot("image", "1", fmt.Sprint("x", round)))
				}
				if err != nil {
					t.Errorf("worker %d: %v", worker, err)
				}
			}
		})
		wg.Go(func() {
			for range rounds {
				names := name((worker + 1) % workers)
				got, err := tags.Facts(context.Background(), k)
				if err != nil || !reflect.DeepEqual(got[names[0]], got[names[1]]) {
					t.Errorf("Facts() = %v, %v", got, err)
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
	wantFacts(t, tags, k, want)
}
