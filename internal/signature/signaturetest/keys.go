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

// SignPredicate is the predicate of a bundle that is the signature of an image.
const SignPredicate = "https://sigstore.dev/cosign/sign/v1"

// Key is a key pair of cosign.
type Key struct {
	signer crypto.Signer
	// prehashed means that an Ed25519 key signs the hash of a message (Ed25519ph).
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
		t.Fatalf("unknown kind of key %q", kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	return Key{signer: signer, prehashed: kind == "ed25519ph"}
}

// FixedKey returns a constant key, whose signatures are deterministic, for the processes
// of a fuzz target.
func FixedKey() Key { return Key{signer: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))} }

// PublicPEM returns the public key in the format of cosign.
func (k Key) PublicPEM(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Payload returns the payload of cosign's legacy signatures for a digest.
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

// Statement returns cosign's in-toto statement about a digest.
func Statement(digest, predicate string) []byte {
	const format = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],"predicateType":%q,"predicate":{}}`
	return fmt.Appendf(nil, format, strings.TrimPrefix(digest, "sha256:"), predicate)
}

const statementType = "application/vnd.in-toto+json"

// Bundle returns a bundle of a statement.
func (k Key) Bundle(t testing.TB, statement []byte) []byte {
	t.Helper()
	return k.BundleWithHash(t, statement, crypto.SHA256)
}

// BundleWithHash is Bundle with the given hash function in place of SHA-256.
func (k Key) BundleWithHash(t testing.TB, statement []byte, hash crypto.Hash) []byte {
	t.Helper()
	raw := k.raw(t, dsse.PAE(statementType, statement), hash)
	return encode(t, map[string]any{
		"mediaType":            BundleType,
		"verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": "hint"}},
		"dsseEnvelope":         envelopeOf(statement, raw),
	})
}

// MessageBundle returns a bundle with the signature of a message, as for files. digest is
// the digest in the bundle.
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

// envelopeOf returns the DSSE envelope of a statement in a bundle.
func envelopeOf(statement, raw []byte) map[string]any {
	return map[string]any{
		"payload":     base64.StdEncoding.EncodeToString(statement),
		"payloadType": statementType,
		"signatures":  []map[string]any{{"sig": base64.StdEncoding.EncodeToString(raw)}},
	}
}

// Change returns a bundle whose parsed JSON was passed to change.
func Change(t testing.TB, bundle []byte, change func(map[string]any)) []byte {
	t.Helper()
	var parts map[string]any
	if err := json.Unmarshal(bundle, &parts); err != nil {
		t.Fatal(err)
	}
	change(parts)
	return encode(t, parts)
}
