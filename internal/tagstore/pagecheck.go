// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"io"
)

// maxDepth of pages and buckets. Three levels hold millions of keys.
const maxDepth = 64

// checker walks over all pages of one file.
//
// bbolt trusts the pages of its file: a damaged one makes it panic, also on
// goroutines of its own, run in circles, or touch memory beyond the file, which
// ends the process. So a file is checked before bbolt sees it, with plain reads
// and no trust. What is checked is the structure: that pages lie in the file,
// are of the right kind, belong to one owner and have their keys in order.
// Values have checksums of their own.
type checker struct{ pageFile }

// checkPages returns an error that wraps ErrDamaged when bbolt must not open
// the file of size bytes, and the error of a read that failed.
func checkPages(file io.ReaderAt, size int64) error {
	c := &checker{pageFile{file: file, size: size}}
	if err := c.readMeta(); err != nil {
		return err
	}
	pages := uint64(size) / uint64(c.meta.pageSize)
	if c.meta.high > pages {
		return damaged("it ends after %d of %d pages", pages, c.meta.high)
	}
	c.used = make([]bool, c.meta.high)
	if err := c.claim(0, 1); err != nil {
		return err
	}
	if err := c.checkTree(c.meta.root, bounds{}, 0); err != nil {
		return err
	}
	return c.checkFreelist()
}

// bounds are what the keys of a page are limited to: from low, which is empty
// for no limit, up to and without high, which is nil for no limit. Below a
// branch the first key is exactly the one that the branch says, which bbolt
// relies on to replace it.
type bounds struct {
	low, high []byte
	exact     bool
}

// take reports whether key is within the bounds, and moves them beyond it.
func (b *bounds) take(key []byte) bool {
	order := bytes.Compare(key, b.low)
	if len(key) == 0 || order < 0 || b.exact && order > 0 || b.high != nil && bytes.Compare(key, b.high) >= 0 {
		return false
	}
	b.low, b.exact = append(bytes.Clone(key), 0), false // the least key after this one
	return true
}

// checkTree checks the page of an id, and all that hangs below it.
func (c *checker) checkTree(id uint64, limits bounds, depth int) error {
	p, err := c.page(id)
	if err != nil {
		return err
	}
	return c.checkNode(p, limits, depth)
}

func (c *checker) checkNode(p page, limits bounds, depth int) error {
	if depth > maxDepth {
		return damaged("its tree is deeper than %d", maxDepth)
	}
	if p.count == 0 && (limits.exact || p.kind == branchPage) {
		return damaged("a page in the tree is empty")
	}
	if len(p.body) < int(p.count)*pageElementSize {
		return damaged("%d elements exceed their page", p.count)
	}
	switch p.kind {
	case leafPage:
		return c.checkLeaf(p, limits, depth)
	case branchPage:
		return c.checkBranch(p, limits, depth)
	}
	return damaged("a page of kind %#x is in the tree", p.kind)
}

// checkLeaf checks the keys of a leaf, and the buckets among its values.
func (c *checker) checkLeaf(p page, limits bounds, depth int) error {
	for i := range int(p.count) {
		element := p.body[i*pageElementSize:]
		flags, keySize, valueSize := native.Uint32(element), native.Uint32(element[8:]), native.Uint32(element[12:])
		start := uint64(native.Uint32(element[4:]))
		end := start + uint64(keySize) + uint64(valueSize)
		if start < pageElementSize || end > uint64(len(element)) {
			return damaged("an element exceeds its page")
		}
		key, value := element[start:start+uint64(keySize)], element[start+uint64(keySize):end]
		if !limits.take(key) {
			return damaged("key %q is not in order", key)
		}
		if flags > bucketFlag {
			return damaged("an element has flags %#x", flags)
		}
		if flags == bucketFlag {
			if err := c.checkBucket(value, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkBucket checks the tree of a bucket, whose first page is within its value
// when the bucket is small.
func (c *checker) checkBucket(value []byte, depth int) error {
	if len(value) < bucketHeaderSize {
		return damaged("a bucket is cut short")
	}
	if root := native.Uint64(value); root != 0 {
		return c.checkTree(root, bounds{}, depth)
	}
	inline := value[bucketHeaderSize:]
	if len(inline) < pageHeaderSize {
		return damaged("an inline bucket is cut short")
	}
	p := parsePage(inline)
	if p.kind != leafPage {
		return damaged("an inline bucket is a page of kind %#x", p.kind)
	}
	return c.checkNode(p, bounds{}, depth)
}

// checkBranch checks the keys of a branch and its children.
func (c *checker) checkBranch(p page, limits bounds, depth int) error {
	keys := make([][]byte, p.count)
	for i := range keys {
		element := p.body[i*pageElementSize:]
		start := uint64(native.Uint32(element))
		end := start + uint64(native.Uint32(element[4:]))
		if start < pageElementSize || end > uint64(len(element)) {
			return damaged("an element exceeds its page")
		}
		keys[i] = element[start:end]
		if !limits.take(keys[i]) {
			return damaged("branch key %q is not in order", keys[i])
		}
	}
	for i, key := range keys {
		below := bounds{low: key, high: limits.high, exact: true}
		if i+1 < len(keys) {
			below.high = keys[i+1]
		}
		if err := c.checkTree(native.Uint64(p.body[i*pageElementSize+8:]), below, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// checkFreelist checks that no free page is in use, since bbolt would write
// over it.
func (c *checker) checkFreelist() error {
	if c.meta.freelist == noFreelist {
		return nil
	}
	p, err := c.page(c.meta.freelist)
	if err != nil {
		return err
	}
	if p.kind != freelistPage {
		return damaged("its freelist is a page of kind %#x", p.kind)
	}
	ids, count := p.body, uint64(p.count)
	if count == countIsFirstPid && len(ids) >= 8 {
		ids, count = ids[8:], native.Uint64(ids)
	}
	if count > uint64(len(ids))/8 {
		return damaged("a freelist of %d pages exceeds its page", count)
	}
	for i := range count {
		if err := c.claim(native.Uint64(ids[i*8:]), 0); err != nil {
			return err
		}
	}
	return nil
}
