// SPDX-License-Identifier: Apache-2.0

package signaturetest

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Mirror is a TUF repository that serves one trusted root, over HTTP.
type Mirror struct {
	// Anchor is its root.json.
	Anchor []byte

	mu    sync.Mutex
	files map[string][]byte
	fault http.HandlerFunc // nil for none
	asked int
}

// NewMirror returns a TUF repository of a trusted_root.json that expires after
// some time.
func NewMirror(t testing.TB, trustedRoot []byte, life time.Duration) *Mirror {
	t.Helper()
	expires := time.Now().Add(life).UTC()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := signature.LoadSigner(private, crypto.Hash(0))
	if err != nil {
		t.Fatal(err)
	}
	key, err := metadata.KeyFromPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	root := metadata.Root(expires)
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		if err := root.Signed.AddKey(key, role); err != nil {
			t.Fatal(err)
		}
	}
	targets, snapshot, timestamp := metadata.Targets(expires), metadata.Snapshot(expires), metadata.Timestamp(expires)
	target, err := metadata.TargetFile().FromBytes("trusted_root.json", trustedRoot, "sha256")
	if err != nil {
		t.Fatal(err)
	}
	targets.Signed.Targets["trusted_root.json"] = target
	m := &Mirror{files: map[string][]byte{fmt.Sprintf("/targets/%x.trusted_root.json", sha256.Sum256(trustedRoot)): trustedRoot}}
	m.Anchor = signed(t, root, signer)
	m.files["/1.targets.json"] = signed(t, targets, signer)
	m.files["/1.snapshot.json"] = signed(t, snapshot, signer)
	m.files["/timestamp.json"] = signed(t, timestamp, signer)
	return m
}

// signed returns the bytes of metadata that are signed.
func signed[T metadata.Roles](t testing.TB, meta *metadata.Metadata[T], signer signature.Signer) []byte {
	t.Helper()
	if _, err := meta.Sign(signer); err != nil {
		t.Fatal(err)
	}
	text, err := meta.ToBytes(false)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Fail makes all requests be answered in another way, nil for the usual one.
func (m *Mirror) Fail(fault http.HandlerFunc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
}

// Edit changes a file that it serves.
func (m *Mirror) Edit(path string, edit func([]byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[path] = edit(m.files[path])
}

// Asked returns how many requests there were since the last time.
func (m *Mirror) Asked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.asked
	m.asked = 0
	return n
}

// ServeHTTP serves the files.
func (m *Mirror) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	m.mu.Lock()
	m.asked++
	fault, file, found := m.fault, m.files[req.URL.Path], m.files[req.URL.Path] != nil
	m.mu.Unlock()
	switch {
	case fault != nil:
		fault(w, req)
	case !found:
		http.NotFound(w, req)
	default:
		_, _ = w.Write(file)
	}
}
