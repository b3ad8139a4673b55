// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
)

// BenchmarkPutFacts puts 50 of 100,000 facts of one object: as one value with all of
// them, which is the baseline, and with the store's PutFacts. It reports the bytes of
// the pages that each has written.
func BenchmarkPutFacts(b *testing.B) {
	const tags, some = 100_000, 50
	all := manyFacts(tags)
	names := slices.Sorted(maps.Keys(all))
	var pages, took [2]float64
	for i, way := range []struct {
		name string
		put  func(store *Bolt, facts factMap) error
	}{
		{"whole", func(store *Bolt, facts factMap) error {
			held := maps.Clone(all)
			maps.Copy(held, facts)
			value := allFactsInOne(names, held)
			return store.update(b.Context(), len(value), func(records *bolt.Bucket) (growth, error) {
				return growth{}, records.Put(testKey.encode(), value)
			})
		}},
		{"each", func(store *Bolt, facts factMap) error { return store.PutFacts(b.Context(), testKey, facts) }},
	} {
		store, err := OpenBolt(b.TempDir(), compactingAbove(1<<40))
		if err != nil {
			b.Fatal(err)
		}
		mustPut(b, store, testKey, testSnapshot)
		if i == 1 {
			mustPutFacts(b, store, testKey, all)
		}
		allocated, elapsed := pageBytes(store), b.Elapsed()
		for n := range b.N {
			facts := factMap{}
			for j := range some {
				name := names[(n*some+j)*7919%tags]
				facts[name] = admission.Fact{Digest: all[name].Digest, Seen: int64(n), Moved: true}
			}
			if err := way.put(store, facts); err != nil {
				b.Fatal(err)
			}
		}
		took[i] = float64((b.Elapsed() - elapsed).Milliseconds()) / float64(b.N)
		pages[i] = float64(pageBytes(store)-allocated) / float64(b.N)
		b.ReportMetric(took[i], way.name+"-ms/op")
		b.ReportMetric(pages[i], way.name+"-page-bytes/op")
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(pages[0]/pages[1], "ratio")
	b.ReportMetric(0, "ns/op") // of both together, which says nothing
}

// BenchmarkFacts reads facts of one object that has 100,000 of them.
func BenchmarkFacts(b *testing.B) {
	store, err := OpenBolt(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	mustPut(b, store, testKey, testSnapshot)
	all := manyFacts(100_000)
	mustPutFacts(b, store, testKey, all)
	names := slices.Sorted(maps.Keys(all))
	for _, n := range []int{1, 50, len(names)} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var got factMap
				if n == len(names) {
					got, err = store.Facts(b.Context(), testKey)
				} else {
					got, err = store.Fact(b.Context(), testKey, names[:n]...)
				}
				if err != nil || len(got) != n {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}

// allFactsInOne returns one value with all facts.
func allFactsInOne(names []string, all factMap) []byte {
	var value bytes.Buffer
	for _, name := range names {
		value.Write(appendFact(appendText(nil, name), all[name]))
	}
	return value.Bytes()
}

// pageBytes returns how many bytes of pages were allocated to be written.
func pageBytes(store *Bolt) int64 {
	stats := store.db.Stats()
	return stats.TxStats.GetPageAlloc()
}
