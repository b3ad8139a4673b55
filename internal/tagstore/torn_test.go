// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// TestTornLastCommit has a machine fail in the middle of a commit: of its meta
// page, half is on the disk or none, and all pages that were free before have
// anything in them. The commit before it must be there, wholly.
func TestTornLastCommit(t *testing.T) { bothPopulated(t, testTornLastCommit) }

func testTornLastCommit(t *testing.T, content []byte, wrote written) {
	file := pageFile{file: bytes.NewReader(content), size: int64(len(content))}
	if err := file.readMeta(); err != nil {
		t.Fatal(err)
	}
	page := int(file.meta.pageSize)
	latest := page * int(file.meta.txid%2)
	for name, tear := range map[string]func(meta []byte){
		"not written": func(meta []byte) { clear(meta) },
		"half":        func(meta []byte) { clear(meta[pageHeaderSize+metaSize/2:]) },
		"first bytes": func(meta []byte) { clear(meta[:pageHeaderSize+8]) },
	} {
		t.Run(name, func(t *testing.T) {
			torn := bytes.Clone(content)
			tear(torn[latest : latest+page])
			dir := t.TempDir()
			write(t, dir, fileName, torn)
			store, reports := opened(t, dir)
			if found := countLatest(t, store, wrote); found < len(wrote)-1 {
				t.Errorf("%d of %d snapshots were found, and only one was in the last commit", found, len(wrote))
			}
			wantKinds(t, *reports)
			wantUsable(t, store, wrote)
		})
	}
}

// TestGarbageInFreePages has what a transaction that did not end left.
func TestGarbageInFreePages(t *testing.T) { bothPopulated(t, testGarbageInFreePages) }

func testGarbageInFreePages(t *testing.T, content []byte, wrote written) {
	c := &checker{pageFile{file: bytes.NewReader(content), size: int64(len(content))}}
	if err := c.readMeta(); err != nil {
		t.Fatal(err)
	}
	c.used = make([]bool, c.meta.high)
	if err := errors.Join(c.claim(0, 1), c.checkTree(c.meta.root, bounds{}, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.page(c.meta.freelist); err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	page, free := int(c.meta.pageSize), 0
	for id, used := range c.used {
		if !used {
			free++
			_, _ = random.Read(content[id*page : (id+1)*page])
		}
	}
	if found := wantSafe(t, content, wrote); found != len(wrote) || free == 0 {
		t.Errorf("with %d free pages, %d of %d snapshots were found", free, found, len(wrote))
	}
}
