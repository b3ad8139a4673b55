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

// Mirror is a TUF repository that serves one trusted root by HTTP.
type Mirror struct {
	// Anchor is its root.json.
	Anchor []byte

	mu       sync.Mutex
	files    map[string][]byte
	fault    http.HandlerFunc // nil for none
	requests int
}

// NewMirror returns a TUF repository with a trusted_root.json. Its metadata expires after
// lifetime.
func NewMirror(t testing.TB, trustedRoot []byte, lifetime time.Duration) *Mirror {
	t.Helper()
	expires := time.Now().Add(lifetime).UTC()
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
	m.Anchor = sign(t, root, signer)
	m.files["/1.targets.json"] = sign(t, targets, signer)
	m.files["/1.snapshot.json"] = sign(t, snapshot, signer)
	m.files["/timestamp.json"] = sign(t, timestamp, signer)
	return m
}

// sign signs metadata, and returns its JSON.
func sign[T metadata.Roles](t testing.TB, meta *metadata.Metadata[T], signer signature.Signer) []byte {
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

// Fail sets the handler of all requests, nil for the default.
func (m *Mirror) Fail(fault http.HandlerFunc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
}

// Edit changes a served file.
func (m *Mirror) Edit(path string, edit func([]byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[path] = edit(m.files[path])
}

// Requests returns the number of requests since its last call.
func (m *Mirror) Requests() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.requests
	m.requests = 0
	return n
}

// ServeHTTP serves the files.
func (m *Mirror) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	m.mu.Lock()
	m.requests++
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
