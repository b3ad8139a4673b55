// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/verify"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// maxOtherTypes bounds the other predicate types that a rejection lists.
const maxOtherTypes = 3

// attestations verifies that an image has attestations, signed by the signers of
// signatures.
type attestations struct {
	signatures   *cosign
	requirements []requirement
	// locations are those of attestations, which may be elsewhere than the signatures.
	locations locations
}

// requirement is one compiled entry of spec.verify.attestations.
type requirement struct {
	predicateType string
	expression    *expression // nil if there is none
}

// CheckRequirements returns an *InvalidError if spec.verify.attestations is invalid, for
// example because an expression does not compile.
func CheckRequirements(entries []v1.AttestationRequirement) error {
	_, err := newRequirements(entries)
	return err
}

// newRequirements compiles spec.verify.attestations. It fails with an *InvalidError.
func newRequirements(entries []v1.AttestationRequirement) ([]requirement, error) {
	if len(entries) > v1.MaxAttestations {
		return nil, invalidSpecf("spec.verify.attestations must have at most %d entries", v1.MaxAttestations)
	}
	var all []requirement
	for i, entry := range entries {
		required, err := newRequirement(fieldOf(i), entry)
		if err != nil {
			return nil, err
		}
		all = append(all, required)
	}
	return all, nil
}

// newRequirement compiles one entry. field is its path in the policy.
func newRequirement(field string, entry v1.AttestationRequirement) (requirement, error) {
	required := requirement{predicateType: entry.PredicateType}
	switch {
	case entry.PredicateType == "":
		return required, invalidSpecf("%s has no predicateType: set it, for example to https://slsa.dev/provenance/v1", field)
	case entry.CEL == "":
		return required, nil
	case entry.PredicateType == signPredicate:
		return required, invalidSpecf("%s requires a signature of cosign, which has no predicate that cel can check: remove cel", field)
	}
	var err error
	required.expression, err = newExpression(field+".cel", entry.CEL)
	return required, err
}

// fieldOf returns the path of an entry in the policy.
func fieldOf(index int) string { return fmt.Sprintf("spec.verify.attestations[%d]", index) }

// dependOnTime reports whether an expression uses the current time.
func (v *attestations) dependOnTime() bool {
	return slices.ContainsFunc(v.requirements, func(r requirement) bool { return r.expression != nil && r.expression.usesClock })
}

// verify implements verifyScheme.
func (v *attestations) verify(ctx context.Context, s subject) (Verdict, error) {
	s.Repository = &cachedReferrers{Repository: s.Repository}
	verifier, err := v.signatures.verifier(ctx)
	if err != nil {
		return Verdict{}, err
	}
	check := &attestationCheck{
		attempt: attempt{subject: s, noun: "attestation"}, verifier: verifier,
		requirements: v.requirements, results: make([]outcome, len(v.requirements)),
	}
	if i := slices.IndexFunc(v.requirements, isSignature); i >= 0 {
		signed, err := v.signatures.verify(ctx, s)
		if err != nil || !signed.Passed() {
			return signed, err
		}
		check.recordSignature(signed.signer)
	}
	if !check.done() {
		// those in one location don't hide those in the other
		check.search(&v.locations,
			func() error { check.checked = 0; return check.checkTag(ctx) },
			func() error { check.checked = 0; return check.checkReferrers(ctx) },
			check.done,
		)
	}
	return check.verdict()
}

// isSignature reports whether a requirement is a signature in place of an attestation.
func isSignature(r requirement) bool { return r.predicateType == signPredicate }

// cachedReferrers caches the last list of referrers, which signatures and attestations share.
type cachedReferrers struct {
	Repository
	digest    string // of the image whose referrers are cached, "" for none
	referrers []registry.Referrer
}

// Referrers implements Repository.
func (r *cachedReferrers) Referrers(ctx context.Context, digest string) ([]registry.Referrer, error) {
	if r.digest == digest {
		return r.referrers, nil
	}
	found, err := r.Repository.Referrers(ctx, digest)
	if err == nil {
		r.digest, r.referrers = digest, found
	}
	return found, err
}

// attestationCheck checks the attestations of one image until all requirements are met.
type attestationCheck struct {
	attempt
	verifier     signatureVerifier
	requirements []requirement
	results      []outcome // of the requirements
	otherTypes   []string  // the predicate types of attestations that are not required
}

// outcome is what is known about one requirement.
type outcome struct {
	signer  string   // of the attestation that met it, "" if there is none yet
	reasons []string // why attestations of its type did not
}

// done reports whether all requirements are met.
func (c *attestationCheck) done() bool {
	return !slices.ContainsFunc(c.results, func(r outcome) bool { return r.signer == "" })
}

// recordSignature records that the image has a signature, for the entries that require one.
func (c *attestationCheck) recordSignature(signer string) {
	for i, required := range c.requirements {
		if isSignature(required) {
			c.results[i].signer = signer
		}
	}
}

// isNeeded reports whether a requirement that is not met has a predicate type.
func (c *attestationCheck) isNeeded(predicateType string) bool {
	for i, r := range c.requirements {
		if r.predicateType == predicateType && c.results[i].signer == "" {
			return true
		}
	}
	return false
}

// recordType records the predicate type of an attestation that is skipped, unless a
// requirement has it.
func (c *attestationCheck) recordType(predicateType string) {
	required := slices.ContainsFunc(c.requirements, func(r requirement) bool { return r.predicateType == predicateType })
	if text := quote(predicateType); !required && predicateType != signPredicate && !slices.Contains(c.otherTypes, text) {
		c.otherTypes = append(c.otherTypes, text)
	}
}

// check verifies an attestation, and checks the requirements of its predicate type. It
// fails if ctx is done.
func (c *attestationCheck) check(ctx context.Context, b *bundle.Bundle) error {
	stated, err := statedType(b)
	if err != nil {
		c.reject(err.Error())
		return nil
	}
	if !c.isNeeded(stated) {
		c.recordType(stated)
		return nil
	}
	signer, verified, err := c.verifier.bundle(b, c.hash())
	if err != nil {
		switch {
		case errors.Is(err, errImageMismatch):
			err = rejection("the attestation is that of another image")
		case !isStatement(b):
			err = errMalformed
		}
		c.rejectType(stated, printable(err.Error()))
		return nil
	}
	return c.evaluate(ctx, signer, verified)
}

// evaluate checks the requirements for a verified attestation.
func (c *attestationCheck) evaluate(ctx context.Context, signer string, verified *verify.VerificationResult) error {
	for i, required := range c.requirements {
		if c.results[i].signer != "" || required.predicateType != verified.Statement.GetPredicateType() {
			continue
		}
		var err error
		if required.expression != nil {
			err = required.expression.check(ctx, verified.Statement, c.now)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			c.results[i].signer = signer
			continue
		}
		c.rejectRequirement(i, err.Error())
	}
	return nil
}

// rejectType records why an attestation of a type does not meet the requirements.
func (c *attestationCheck) rejectType(predicateType, reason string) {
	for i, required := range c.requirements {
		if required.predicateType == predicateType {
			c.rejectRequirement(i, reason)
		}
	}
}

// rejectRequirement records why an attestation does not meet a requirement.
func (c *attestationCheck) rejectRequirement(index int, reason string) {
	if r := &c.results[index]; !slices.Contains(r.reasons, reason) {
		r.reasons = append(r.reasons, reason)
	}
}

// statedType returns the predicate type of a statement that is not verified, or a rejection.
func statedType(b *bundle.Bundle) (string, error) {
	var statement struct {
		PredicateType string `json:"predicateType"`
	}
	payload := b.GetDsseEnvelope().GetPayload()
	if countValues(payload) > maxValues {
		return "", rejection(fmt.Sprintf("its statement has more than the %d JSON values that are read", maxValues))
	}
	if json.Unmarshal(payload, &statement) != nil || statement.PredicateType == "" {
		return "", errMalformed
	}
	return statement.PredicateType, nil
}

// errMalformed rejects what is not a statement of in-toto.
const errMalformed = rejection("its statement is malformed")

// isStatement reports whether a bundle has a statement that can be parsed. sigstore-go parses
// it after it has verified the signature, and has no error type for a failure.
func isStatement(b *bundle.Bundle) bool {
	content, err := b.SignatureContent()
	if err != nil || content.EnvelopeContent() == nil {
		return false
	}
	_, err = content.EnvelopeContent().Statement()
	return err == nil
}

// verdict returns the result. A rejection is about the first requirement that is not met.
func (c *attestationCheck) verdict() (Verdict, error) {
	if c.done() {
		return Verdict{signer: c.signers()}, nil
	}
	if c.failed != nil {
		return Verdict{}, c.failed
	}
	i := slices.IndexFunc(c.results, func(r outcome) bool { return r.signer == "" })
	return reject(fmt.Sprintf("attestations[%d] is not met: %s", i, c.problem(i))), nil
}

// problem describes why a requirement is not met.
func (c *attestationCheck) problem(index int) string {
	kind := quote(c.requirements[index].predicateType)
	reasons := slices.Concat(c.results[index].reasons, c.reasons)
	switch {
	case len(reasons) > 0 || c.more:
		if len(reasons) == 0 {
			reasons = []string{"none was found"}
		}
		return fmt.Sprintf("no attestation with the predicateType %s passes: %s", kind, c.join(reasons))
	case len(c.otherTypes) > 0:
		return fmt.Sprintf("it has no attestation with the predicateType %s, only with %s", kind,
			strings.Join(c.otherTypes[:min(len(c.otherTypes), maxOtherTypes)], ", "))
	default:
		return fmt.Sprintf("it has no attestation with the predicateType %s", kind)
	}
}

// signers returns the signers, each with the predicate types that it signed.
func (c *attestationCheck) signers() string {
	var names []string
	signed := map[string][]string{}
	for i, r := range c.results {
		kind := quote(c.requirements[i].predicateType)
		if isSignature(c.requirements[i]) {
			kind = "signature"
		}
		if signed[r.signer] == nil {
			names = append(names, r.signer)
		}
		if !slices.Contains(signed[r.signer], kind) {
			signed[r.signer] = append(signed[r.signer], kind)
		}
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%s (%s)", name, strings.Join(signed[name], ", "))
	}
	return strings.Join(names, " and ")
}
