// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"fmt"
	"strings"
)

// ReportKind tells what a store reports. The values are fit for the label of a
// metric.
type ReportKind string

const (
	// FileSetAside says that the file was no intact tag store and was renamed
	// to Paths[0]; the store starts empty. Err says what is wrong with it.
	FileSetAside ReportKind = "file_set_aside"
	// FileDamaged says that the file was found to be damaged while it is in
	// use. From then on every call fails with ErrDamaged; when the store is
	// opened again, the file is checked, and set aside if need be.
	FileDamaged ReportKind = "file_damaged"
	// RecordDamaged says that the record of Key can't be read, for the reason
	// Err. It counts as not found and is replaced by the next Put. It is
	// reported once until then.
	RecordDamaged ReportKind = "record_damaged"
	// FactsDamaged says that facts of Key can't be read, for the reason Err. They
	// count as not held, and are replaced when they are learned anew. It is
	// reported once until then.
	FactsDamaged ReportKind = "facts_damaged"
	// LeftoversFound says that the directory holds files of another storage
	// at Paths, which are left alone and may be deleted.
	LeftoversFound ReportKind = "leftovers_found"
	// Compacted says that the file at Paths[0] was made smaller by Freed bytes.
	Compacted ReportKind = "compacted"
	// CompactionFailed says that the file at Paths[0] could not be made
	// smaller, for the reason Err. It is used as it is, and tried again later.
	CompactionFailed ReportKind = "compaction_failed"
)

var reportKinds = []ReportKind{FileSetAside, FileDamaged, RecordDamaged, FactsDamaged, LeftoversFound, Compacted, CompactionFailed}

// Report is something about a store that its operator may want to know, though
// the store works on.
type Report struct {
	Kind  ReportKind
	Paths []string
	Key   Key
	Err   error
	Freed int64 // bytes
}

// String returns the report as one sentence for a log.
func (r Report) String() string {
	switch r.Kind {
	case FileSetAside:
		return fmt.Sprintf("the tag store was set aside as %s and starts empty: %v", r.Paths[0], r.Err)
	case FileDamaged:
		return fmt.Sprintf("the tag store %s was damaged while in use: %v", r.Paths[0], r.Err)
	case RecordDamaged:
		return fmt.Sprintf("the stored tags of %s can't be read and will be scanned again: %v", r.Key, r.Err)
	case FactsDamaged:
		return fmt.Sprintf("what is stored of the images of %s can't be read in part and will be learned anew: %v", r.Key, r.Err)
	case Compacted:
		return fmt.Sprintf("the tag store %s gave %d bytes back to its volume", r.Paths[0], r.Freed)
	case CompactionFailed:
		return fmt.Sprintf("the tag store %s keeps space that it does not need: %v", r.Paths[0], r.Err)
	case LeftoversFound:
		return "files of another storage are not used and can be deleted: " + strings.Join(r.Paths, ", ")
	}
	return string(r.Kind)
}
