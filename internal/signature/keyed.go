// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"bytes"
	"context"
	"crypto"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/cryptoutils/goodkey"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// maxKeys bounds the public keys of one rule.
const maxKeys = 32

// errNoKey rejects signatures by other keys than those of the rule.
const errNoKey = rejection("none of the public keys made the signature")

// keyed verifies signatures with public keys. It requires no entry in a transparency
// log: see docs/design/0041.
type keyed struct{ keys []publicKey }

// publicKey is a parsed key, with its verifiers for each algorithm that cosign may use.
type publicKey struct {
	name      string
	verifiers []signature.Verifier
	bundles   []*verify.Verifier
}

// newKeyed parses the keys of a rule.
func newKeyed(files map[string][]byte) (*cosign, error) {
	if len(files) == 0 {
		return nil, invalidf("there is no public key: add one to the Secret, under a key that ends with %s", publicKeySuffix)
	}
	if len(files) > maxKeys {
		return nil, invalidf("there are more than the %d public keys that are tried: remove some", maxKeys)
	}
	k := &keyed{}
	for _, name := range sortedKeys(files) {
		key, err := parsePublicKey(name, files[name])
		if err != nil {
			return nil, err
		}
		k.keys = append(k.keys, key)
	}
	return &cosign{verifier: func(context.Context) (signatureVerifier, error) { return k, nil }}, nil
}

// parsePublicKey parses a PEM file that contains one public key.
func parsePublicKey(name string, text []byte) (publicKey, error) {
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return publicKey{}, invalidf("%s is no public key in PEM", name)
	case strings.Contains(block.Type, "PRIVATE KEY"):
		return publicKey{}, invalidf("%s is a private key, which others may have read: "+
			"put the public key of a new pair in its place", name)
	case len(bytes.TrimSpace(rest)) > 0:
		return publicKey{}, invalidf("%s holds more than one public key: give each a key of its own in the Secret", name)
	}
	pub, err := cryptoutils.UnmarshalPEMToPublicKey(text)
	if err != nil {
		return publicKey{}, invalidf("%s is no public key in PEM: it is a %s", name, quote(block.Type))
	}
	if err := goodkey.ValidatePubKey(pub); err != nil {
		return publicKey{}, invalidf("%s is a public key of a kind or size that is not safe: "+
			"use ECDSA, Ed25519, or RSA of 2048, 3072 or 4096 bits", name)
	}
	return newPublicKey(name, pub)
}

// newPublicKey returns a key with its verifiers.
func newPublicKey(name string, pub crypto.PublicKey) (publicKey, error) {
	verifiers, err := verifiersOf(pub)
	if err != nil {
		return publicKey{}, invalidf("%s is a public key of a kind that is not supported: use ECDSA, RSA or Ed25519", name)
	}
	key := publicKey{name: name, verifiers: verifiers}
	for _, verifier := range verifiers {
		bundles, err := verify.NewVerifier(root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
			return root.NewExpiringKey(verifier, time.Time{}, time.Time{}), nil
		}), verify.WithNoObserverTimestamps())
		if err != nil {
			return publicKey{}, invalidf("%s can't be used: %s", name, printable(err.Error()))
		}
		key.bundles = append(key.bundles, bundles)
	}
	return key, nil
}

// verifiersOf returns a verifier for each algorithm with which cosign signs: with
// SHA-256, and in newer versions with Sigstore's default for the key. The default has a
// hash of the size of the curve, and Ed25519ph in place of Ed25519, because transparency
// logs need the hash (https://github.com/sigstore/cosign/pull/4050).
func verifiersOf(pub crypto.PublicKey) ([]signature.Verifier, error) {
	older, err := signature.LoadVerifier(pub, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	algorithm, err := signature.GetDefaultAlgorithmDetails(pub, options.WithED25519ph())
	if err != nil {
		return nil, err
	}
	if algorithm.GetHashType() == crypto.SHA256 {
		return []signature.Verifier{older}, nil
	}
	newer, err := signature.LoadVerifierFromAlgorithmDetails(pub, algorithm, options.WithED25519ph())
	return []signature.Verifier{older, newer}, err
}

// signer returns the name of the key for messages.
func (p publicKey) signer() string { return fmt.Sprintf("key %q", p.name) }

// legacy implements signatureVerifier.
func (k *keyed) legacy(sig legacySignature, payload []byte) (string, error) {
	for _, key := range k.keys {
		for _, verifier := range key.verifiers {
			if verifier.VerifySignature(bytes.NewReader(sig.signature), bytes.NewReader(payload)) == nil {
				return key.signer(), nil
			}
		}
	}
	return "", errNoKey
}

// bundle implements signatureVerifier.
func (k *keyed) bundle(b *bundle.Bundle, digest []byte) (string, *verify.VerificationResult, error) {
	content, err := b.VerificationContent()
	if err != nil || content.PublicKey() == nil {
		return "", nil, rejection("its bundle is not signed with a public key")
	}
	policy := verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), verify.WithKey())
	reason := error(errNoKey)
	for _, key := range k.keys {
		for _, verifier := range key.bundles {
			result, err := verifier.Verify(b, policy)
			if err == nil {
				return key.signer(), result, nil
			}
			if isImageMismatch(err) {
				reason = errImageMismatch
			}
		}
	}
	return "", nil, reason
}
