// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"compress/flate"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// BenchmarkEncode packs payloads as they are, and deflated at some levels, and
// reports the bytes of a record per byte of the tags as JSON.
func BenchmarkEncode(b *testing.B) {
	snapshots := realSnapshots(b)
	for _, name := range slices.Sorted(maps.Keys(snapshots)) {
		s := snapshots[name]
		b.Run(name+"/front-coded", func(b *testing.B) {
			var payload []byte
			for b.Loop() {
				payload = encodePayload(s)
			}
			reportSize(b, s, len(payload))
		})
		for _, level := range []int{1, 6, 9} {
			b.Run(name+"/deflate-"+strconv.Itoa(level), func(b *testing.B) {
				var packed bytes.Buffer
				w, err := flate.NewWriter(&packed, level)
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					packed.Reset()
					w.Reset(&packed)
					if _, err := w.Write(encodePayload(s)); err != nil {
						b.Fatal(err)
					}
					if err := w.Close(); err != nil {
						b.Fatal(err)
					}
				}
				reportSize(b, s, packed.Len())
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	snapshots := realSnapshots(b)
	for _, name := range slices.Sorted(maps.Keys(snapshots)) {
		r := record(b, []byte("key"), snapshots[name])
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decodeRecord([]byte("key"), r); err != nil {
					b.Fatal(err)
				}
			}
			reportSize(b, snapshots[name], len(r))
		})
	}
}

func reportSize(b *testing.B, s scan.Snapshot, size int) {
	b.ReportMetric(float64(size), "bytes")
	b.ReportMetric(float64(size)/float64(len(asJSON(b, s.Tags))), "of-JSON")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(s.Tags)), "ns/tag")
}

// BenchmarkPut measures what a scan costs a store: of a snapshot that is held
// already, and of one that changed.
func BenchmarkPut(b *testing.B) {
	s := realSnapshots(b)["golang"]
	key := Key{"ns", "repo", "uid"}
	for name, change := range map[string]time.Duration{"unchanged": 0, "changed": time.Second} {
		b.Run(name, func(b *testing.B) {
			store, err := OpenBolt(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			for b.Loop() {
				if err := store.Put(b.Context(), key, s); err != nil {
					b.Fatal(err)
				}
				s.Since += int64(change / time.Second)
			}
		})
	}
}
