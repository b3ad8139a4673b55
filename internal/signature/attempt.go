// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

const (
	// maxSignatures bounds the signatures of one image that are looked at.
	maxSignatures = 32
	// maxBlob bounds a payload, a bundle or an envelope.
	maxBlob = 1 << 20
	// maxReasons bounds the reasons that a rejection names.
	maxReasons = 3
)

// attempt looks at the signatures of one image, one after the other, until
// one passes.
type attempt struct {
	subject
	checked int      // how many signatures there were
	reasons []string // why they were rejected, each reason once
	failed  error    // why it is not known of one of them
	more    bool     // there are more than are looked at
	signer  string   // of the one that passed
}

// next counts a signature, and reports whether it is to be looked at.
func (e *attempt) next() bool {
	if e.checked == maxSignatures {
		e.more = true
		return false
	}
	e.checked++
	return true
}

// reject notes why a signature was rejected.
func (e *attempt) reject(reason string) {
	if !slices.Contains(e.reasons, reason) {
		e.reasons = append(e.reasons, reason)
	}
}

// recordMissing takes it that a part of a signature is not there, of which the registry
// itself says that there is one. Another signature may pass all the same. It
// returns every other error.
func (e *attempt) recordMissing(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		e.failed = err
		return nil
	}
	return err
}

// fetch fetches the blob of a signature, nil where the signature is rejected.
func (e *attempt) fetch(ctx context.Context, d descriptor) ([]byte, error) {
	switch {
	case !image.IsDigest(d.Digest):
		e.reject("its signature names a digest that is malformed")
		return nil, nil
	case d.Size > maxBlob || d.Size < 0:
		e.reject(fmt.Sprintf("its signature has more than the %d bytes that are read", maxBlob))
		return nil, nil
	}
	blob, err := e.Blob(ctx, d.Digest, maxBlob)
	return blob, e.recordMissing(err)
}

// verdict returns what the examination came to. what names the kind of signature.
func (e *attempt) verdict(what string) (Verdict, error) {
	switch {
	case e.signer != "":
		return Verdict{signer: e.signer}, nil
	case e.failed != nil:
		return Verdict{}, e.failed
	case e.checked == 0 && len(e.reasons) == 0:
		return reject("it has no " + what), nil
	default:
		return reject(e.describe(what)), nil
	}
}

// describe says why no signature passed.
func (e *attempt) describe(what string) string {
	reasons := e.reasons
	suffix := ""
	if len(reasons) > maxReasons {
		suffix = fmt.Sprintf(", and %d reasons more", len(reasons)-maxReasons)
		reasons = reasons[:maxReasons]
	}
	text := strings.Join(reasons, "; ") + suffix
	if e.more {
		text += fmt.Sprintf("; it has more than the %d signatures that are looked at: remove those that are not needed", maxSignatures)
	}
	return fmt.Sprintf("no %s passes: %s", what, text)
}

// descriptor describes a blob of a manifest.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
}

// artifact is what a signature's manifest says.
type artifact struct {
	ArtifactType string       `json:"artifactType"`
	Config       descriptor   `json:"config"`
	Layers       []descriptor `json:"layers"`
	Subject      *descriptor  `json:"subject"`
}

// layersWhere returns the layers for which a condition holds.
func (a *artifact) layersWhere(wanted func(descriptor) bool) []descriptor {
	return slices.DeleteFunc(slices.Clone(a.Layers), func(layer descriptor) bool { return !wanted(layer) })
}
