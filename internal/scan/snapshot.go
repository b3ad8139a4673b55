// SPDX-License-Identifier: Apache-2.0

// Package scan decides when an image repository is scanned, excludes tags, and makes the snapshot
// of a successful scan. It does no I/O, and reads no clock.
package scan

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// Snapshot is the result of one complete scan of an image repository. It is immutable.
type Snapshot struct {
	// Image is spec.image at the time of the scan.
	Image string
	// Tags holds the tags in ascending byte order, without duplicates.
	Tags []string
	// FirstSeen holds when a scan first found the tag at the same index, in seconds since the
	// epoch.
	FirstSeen []int64
	// Since is when the first scan of this image ended, in seconds since the epoch. Tags first seen
	// then may be older.
	Since int64
}

// Next returns the snapshot of a scan that ended at now. The tags may be unsorted and contain
// duplicates. First-seen times are copied from previous if it is of the same image. Next sorts tags
// and keeps the slice.
func Next(previous Snapshot, image string, tags []string, now time.Time) Snapshot {
	if !slices.IsSorted(tags) {
		slices.Sort(tags)
	}
	sorted := slices.Compact(tags)

	next := Snapshot{Image: image, Tags: sorted, FirstSeen: make([]int64, len(sorted)), Since: now.Unix()}
	if previous.Image == image {
		next.Since = previous.Since
	} else {
		previous = Snapshot{}
	}
	old := 0
	for i, tag := range sorted {
		for old < len(previous.Tags) && previous.Tags[old] < tag {
			old++
		}
		next.FirstSeen[i] = now.Unix()
		if old < len(previous.Tags) && previous.Tags[old] == tag {
			next.FirstSeen[i] = previous.FirstSeen[old]
		}
	}
	return next
}

// Sum is a collision-resistant hash of a list of tags.
type Sum [sha256.Size]byte

// Sum returns the hash of the tags.
func (s Snapshot) Sum() Sum {
	h := sha256.New()
	block := make([]byte, 0, 4096)
	for _, tag := range s.Tags {
		if len(block)+len(tag) >= cap(block) {
			h.Write(block)
			block = block[:0]
		}
		block = append(append(block, tag...), 0) // no tag contains 0, so different lists hash different bytes
	}
	h.Write(block)
	return Sum(h.Sum(nil))
}

// Revision returns the hash in the format of status.lastScanResult.revision.
func (s Sum) Revision() string { return "sha256:" + hex.EncodeToString(s[:]) }

// Revision returns the hash of the tags in the format of status.lastScanResult.revision.
func (s Snapshot) Revision() string { return s.Sum().Revision() }

// Has reports whether the scan found the tag.
func (s Snapshot) Has(tag string) bool {
	_, found := slices.BinarySearch(s.Tags, tag)
	return found
}

// FirstSeenAt returns when a scan first found the tag, in seconds since the epoch, and whether the
// snapshot has the tag.
func (s Snapshot) FirstSeenAt(tag string) (int64, bool) {
	i, found := slices.BinarySearch(s.Tags, tag)
	if !found {
		return 0, false
	}
	return s.FirstSeen[i], true
}

// Latest returns the last n tags in natural order, the last one first. n must be positive.
func (s Snapshot) Latest(n int) []string {
	latest := make([]string, 0, min(n, len(s.Tags)))
	for _, tag := range slices.Backward(s.Tags) { // tags that are later in byte order are often also later in natural order
		if len(latest) == n {
			if selection.CompareNatural(tag, latest[n-1]) < 0 {
				continue
			}
			latest = latest[:n-1]
		}
		i, _ := slices.BinarySearchFunc(latest, tag, func(a, b string) int { return selection.CompareNatural(b, a) })
		latest = slices.Insert(latest, i, tag)
	}
	return latest
}

// Equal reports whether both snapshots are equal.
func (s Snapshot) Equal(o Snapshot) bool {
	return s.Image == o.Image && s.Since == o.Since &&
		slices.Equal(s.Tags, o.Tags) && slices.Equal(s.FirstSeen, o.FirstSeen)
}
