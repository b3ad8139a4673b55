// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"strings"
)

// ReportKind is the kind of a report, and the value of a metric's label.
type ReportKind string

const (
	// RecordDamaged means that the snapshot of Key can't be read because of Err. It was set aside
	// as Paths[0] and is treated as not found.
	RecordDamaged ReportKind = "record_damaged"
	// FactsDamaged means that facts of Key can't be read because of Err. Their file was set aside
	// as Paths[0]. The facts before the damage were kept.
	FactsDamaged ReportKind = "facts_damaged"
	// LeftoversFound means that the folder contains files of another storage at Paths. They are
	// left unchanged and may be deleted.
	LeftoversFound ReportKind = "leftovers_found"
)

// Report describes a problem of a store that does not prevent its use.
type Report struct {
	Kind  ReportKind
	Paths []string
	Key   Key
	Err   error
}

// String returns the report as one sentence for the log.
func (r Report) String() string {
	paths := strings.Join(r.Paths, ", ")
	switch r.Kind {
	case RecordDamaged:
		return fmt.Sprintf("the stored tags of %s can't be read and will be scanned again: %v (set aside: %s)", r.Key, r.Err, paths)
	case FactsDamaged:
		return fmt.Sprintf("the stored facts of the images of %s are damaged in part and will be read again: %v (set aside: %s)",
			r.Key, r.Err, paths)
	}
	return "files of another storage are not used and can be deleted: " + paths
}

// report counts a report and passes it on.
func (s *Store) report(r Report) {
	s.reports.WithLabelValues(string(r.Kind)).Inc()
	s.options.Report(r)
}
