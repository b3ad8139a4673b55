// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"fmt"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// fsyncsPerCommit is how often bbolt waits for the disk: for the pages, and for
// the meta page. When the file grows, it does so once more, which is not counted.
const fsyncsPerCommit = 2

// BenchmarkWriters has a number of writers put snapshots of their own at the
// same time: each in a transaction of its own, which is the baseline, and with
// the store's Put.
func BenchmarkWriters(b *testing.B) {
	s := testSnapshot // small: what is measured is the disk, and not the packing
	for _, writers := range []int{1, 8, 32, 256} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			var rates [2]float64
			for i, way := range []struct {
				name string
				put  func(store *Bolt, p *put) error
			}{
				{"alone", func(store *Bolt, p *put) error {
					return store.db.Update(func(tx *bolt.Tx) error {
						_, err := p.apply(tx.Bucket(recordsBucket))
						return err
					})
				}},
				{"shared", func(store *Bolt, p *put) error { return store.update(b.Context(), len(p.record), p.apply) }},
			} {
				store, err := OpenBolt(b.TempDir())
				if err != nil {
					b.Fatal(err)
				}
				before := txid(b, store)
				took := b.Elapsed()
				run(b, writers, func(writer, n int) error {
					s := s
					s.Since = int64(n)
					name, payload := numbered(writer).encode(), encodePayload(s)
					record, err := encodeRecord(name, s, payload)
					if err != nil {
						return err
					}
					return way.put(store, &put{name: name, snapshot: s, payload: payload, record: record})
				})
				took = b.Elapsed() - took
				rates[i] = float64(b.N) / took.Seconds()
				b.ReportMetric(rates[i], way.name+"-ops/s")
				b.ReportMetric(fsyncsPerCommit*float64(txid(b, store)-before)/float64(b.N), way.name+"-fsyncs/op")
				if err := store.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(rates[1]/rates[0], "ratio")
			b.ReportMetric(0, "ns/op") // of both together, which says nothing
		})
	}
}

// run shares b.N calls among writers.
func run(b *testing.B, writers int, call func(writer, n int) error) {
	var wg sync.WaitGroup
	for writer := range writers {
		wg.Go(func() {
			for n := writer; n < b.N; n += writers {
				if err := call(writer, n); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func txid(b *testing.B, store *Bolt) int {
	id := 0
	if err := store.db.View(func(tx *bolt.Tx) error { id = tx.ID(); return nil }); err != nil {
		b.Fatal(err)
	}
	return id
}
