// SPDX-License-Identifier: Apache-2.0

package signaturetest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// SignPredicate is what a bundle states that is a signature of an image.
const SignPredicate = "https://sigstore.dev/cosign/sign/v1"

// Key is a key pair of cosign.
type Key struct {
	signer crypto.Signer
	// prehashed is whether an Ed25519 key signs the hash of a message (Ed25519ph).
	prehashed bool
}

// NewKey returns a new key of a kind: "ecdsa", "ecdsa384", "rsa", "ed25519" or
// "ed25519ph".
func NewKey(t testing.TB, kind string) Key {
	t.Helper()
	var signer crypto.Signer
	var err error
	switch kind {
	case "ecdsa":
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ecdsa384":
		signer, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "rsa":
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ed25519", "ed25519ph":
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	default:
		t.Fatalf("there are no keys of the kind %q", kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	return Key{signer: signer, prehashed: kind == "ed25519ph"}
}

// FixedKey returns a key that is the same each time, and so are its signatures:
// the processes of a fuzz target need that.
func FixedKey() Key { return Key{signer: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))} }

// PublicPEM returns the public key as cosign writes it.
func (k Key) PublicPEM(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Payload returns what cosign signs of the image of a digest.
func Payload(digest string) []byte {
	return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"registry.test/app"},"image":{"docker-manifest-digest":%q},`+
		`"type":"cosign container image signature"},"optional":null}`, digest)
}

// Sign returns a legacy signature of a payload.
func (k Key) Sign(t testing.TB, payload []byte) Signature {
	t.Helper()
	return Signature{Payload: payload, Raw: k.raw(t, payload, crypto.SHA256)}
}

// raw returns the signature of bytes.
func (k Key) raw(t testing.TB, message []byte, hash crypto.Hash) []byte {
	t.Helper()
	opts := []signature.LoadOption{options.WithHash(hash)}
	if k.prehashed {
		opts = append(opts, options.WithED25519ph())
	}
	signer, err := signature.LoadSignerWithOpts(k.signer, opts...)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signer.SignMessage(bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Statement returns what cosign states of the image of a digest.
func Statement(digest, predicate string) []byte {
	const form = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],"predicateType":%q,"predicate":{}}`
	return fmt.Appendf(nil, form,
		strings.TrimPrefix(digest, "sha256:"), predicate)
}

const statementType = "application/vnd.in-toto+json"

// Bundle returns a bundle of a statement.
func (k Key) Bundle(t testing.TB, statement []byte) []byte {
	t.Helper()
	return k.BundleByHash(t, statement, crypto.SHA256)
}

// BundleByHash is Bundle with another hash function than usual.
func (k Key) BundleByHash(t testing.TB, statement []byte, hash crypto.Hash) []byte {
	t.Helper()
	raw := k.raw(t, dsse.PAE(statementType, statement), hash)
	return encode(t, map[string]any{
		"mediaType":            BundleType,
		"verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": "hint"}},
		"dsseEnvelope":         envelopeOf(statement, raw),
	})
}

// MessageBundle returns a bundle of the kind that files have: of the signature
// of a message, and the digest of what it is said to be about.
func (k Key) MessageBundle(t testing.TB, message, digest []byte) []byte {
	t.Helper()
	return encode(t, map[string]any{
		"mediaType":            BundleType,
		"verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": "hint"}},
		"messageSignature": map[string]any{
			"messageDigest": map[string]any{"algorithm": "SHA2_256", "digest": base64.StdEncoding.EncodeToString(digest)},
			"signature":     base64.StdEncoding.EncodeToString(k.raw(t, message, crypto.SHA256)),
		},
	})
}

// envelopeOf returns the envelope of a statement as bundles have it.
func envelopeOf(statement, raw []byte) map[string]any {
	return map[string]any{
		"payload":     base64.StdEncoding.EncodeToString(statement),
		"payloadType": statementType,
		"signatures":  []map[string]any{{"sig": base64.StdEncoding.EncodeToString(raw)}},
	}
}

// Change returns a bundle with a part of its JSON changed.
func Change(t testing.TB, bundle []byte, change func(map[string]any)) []byte {
	t.Helper()
	var parts map[string]any
	if err := json.Unmarshal(bundle, &parts); err != nil {
		t.Fatal(err)
	}
	change(parts)
	return encode(t, parts)
}
