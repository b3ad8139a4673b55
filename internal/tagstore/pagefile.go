// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// The layout of pages is that of bbolt's file format 2, in the byte order of the
// machine.
const (
	pageHeaderSize  = 16
	pageElementSize = 16
	metaSize        = 64
	metaSummed      = 56 // the bytes of a meta that its checksum is about

	boltMagic   = 0xED0CDAED
	boltVersion = 2

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10

	bucketFlag       = 0x01
	bucketHeaderSize = 16

	minPageSize = 1 << 10
	maxPageSize = 1 << 24

	noFreelist      = ^uint64(0)
	countIsFirstPid = 0xFFFF // in a freelist page: the count is the first id
)

// native is the byte order of the file.
var native = binary.NativeEndian

// meta is the part of a meta page that the check needs.
type meta struct {
	pageSize             uint32
	root, freelist, high uint64 // page ids; high is the first one never used
	txid                 uint64
}

// page is one page with its overflow.
type page struct {
	kind, count uint16
	overflow    uint32
	body        []byte // all after the header
}

// pageFile reads the pages of a file, each once.
type pageFile struct {
	file io.ReaderAt
	size int64
	meta meta
	used []bool // by page id
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}

// readMeta finds the two meta pages as bbolt does and takes the valid one of the
// later transaction.
func (f *pageFile) readMeta() error {
	first, err := f.metaAt(0)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	if err == nil {
		f.meta = first
		second, err := f.metaAt(int64(first.pageSize))
		if err == nil && second.txid > first.txid {
			f.meta = second
			f.meta.pageSize = first.pageSize // bbolt does not ask the second
		}
		return ignoreDamage(err)
	}
	for offset := int64(minPageSize); offset < f.size && offset <= maxPageSize; offset *= 2 {
		f.meta, err = f.metaAt(offset)
		if err == nil && int64(f.meta.pageSize) == offset {
			return nil
		}
		if ignoreDamage(err) != nil {
			return err
		}
	}
	return damaged("it has no valid meta page")
}

func ignoreDamage(err error) error {
	if errors.Is(err, ErrDamaged) {
		return nil
	}
	return err
}

// metaAt reads the meta page at an offset.
func (f *pageFile) metaAt(offset int64) (meta, error) {
	if offset+pageHeaderSize+metaSize > f.size {
		return meta{}, damaged("it ends within a meta page")
	}
	b := make([]byte, metaSize)
	if err := f.read(b, offset+pageHeaderSize); err != nil {
		return meta{}, err
	}
	sum := fnv.New64a()
	sum.Write(b[:metaSummed])
	if native.Uint32(b) != boltMagic || native.Uint32(b[4:]) != boltVersion || native.Uint64(b[metaSummed:]) != sum.Sum64() {
		return meta{}, damaged("it has an invalid meta page")
	}
	m := meta{
		pageSize: native.Uint32(b[8:]),
		root:     native.Uint64(b[16:]),
		freelist: native.Uint64(b[32:]),
		high:     native.Uint64(b[40:]),
		txid:     native.Uint64(b[48:]),
	}
	if m.pageSize < minPageSize || m.pageSize > maxPageSize || m.pageSize&(m.pageSize-1) != 0 {
		return meta{}, damaged("it has pages of %d bytes", m.pageSize)
	}
	return m, nil
}

// read fills b from the file.
func (f *pageFile) read(b []byte, offset int64) error {
	if _, err := f.file.ReadAt(b, offset); err != nil {
		return fmt.Errorf("reading the tag store: %w", err)
	}
	return nil
}

// claim marks pages as used, and fails when they are already or are beyond the
// end.
func (f *pageFile) claim(id uint64, overflow uint32) error {
	if id >= f.meta.high || uint64(overflow) >= f.meta.high-id {
		return damaged("page %d with overflow %d is beyond page %d", id, overflow, f.meta.high)
	}
	for i := id; i <= id+uint64(overflow); i++ {
		if f.used[i] {
			return damaged("page %d has two owners", i)
		}
		f.used[i] = true
	}
	return nil
}

// page claims and reads the page of an id.
func (f *pageFile) page(id uint64) (page, error) {
	if id >= f.meta.high {
		return page{}, damaged("page %d is beyond page %d", id, f.meta.high)
	}
	offset := int64(id) * int64(f.meta.pageSize)
	header := make([]byte, pageHeaderSize)
	if err := f.read(header, offset); err != nil {
		return page{}, err
	}
	p := parsePage(header)
	if got := native.Uint64(header); got != id {
		return page{}, damaged("page %d says that it is page %d", id, got)
	}
	if err := f.claim(id, p.overflow); err != nil {
		return page{}, err
	}
	p.body = make([]byte, (int64(p.overflow)+1)*int64(f.meta.pageSize)-pageHeaderSize)
	return p, f.read(p.body, offset+pageHeaderSize)
}

// parsePage returns the page whose bytes b are, at least those of its header.
func parsePage(b []byte) page {
	return page{
		kind:     native.Uint16(b[8:]),
		count:    native.Uint16(b[10:]),
		overflow: native.Uint32(b[12:]),
		body:     b[pageHeaderSize:],
	}
}
