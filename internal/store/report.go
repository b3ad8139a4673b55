// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"strings"
)

// ReportKind is what a store reports. The values are fit for the label of a metric.
type ReportKind string

const (
	// RecordDamaged says that the snapshot of Key can't be read, for the reason Err,
	// and was set aside as Paths[0]. It counts as not found.
	RecordDamaged ReportKind = "record_damaged"
	// FactsDamaged says that facts of Key can't be read, for the reason Err, and
	// that their file was set aside as Paths[0]. They are learned anew, but for those
	// before the damage.
	FactsDamaged ReportKind = "facts_damaged"
	// LeftoversFound says that the folder holds files of another storage at Paths,
	// which are left alone and may be deleted.
	LeftoversFound ReportKind = "leftovers_found"
)

// Report is something about a store that its operator may want to know, though
// the store works on.
type Report struct {
	Kind  ReportKind
	Paths []string
	Key   Key
	Err   error
}

// String returns the report as one sentence for a log.
func (r Report) String() string {
	paths := strings.Join(r.Paths, ", ")
	switch r.Kind {
	case RecordDamaged:
		return fmt.Sprintf("the stored tags of %s can't be read and will be scanned again: %v (set aside: %s)", r.Key, r.Err, paths)
	case FactsDamaged:
		return fmt.Sprintf("what is stored of the images of %s can't be read in part and will be learned anew: %v (set aside: %s)",
			r.Key, r.Err, paths)
	}
	return "files of another storage are not used and can be deleted: " + paths
}

// report counts a report, and makes it.
func (s *Store) report(r Report) {
	s.reports.WithLabelValues(string(r.Kind)).Inc()
	s.options.Report(r)
}
