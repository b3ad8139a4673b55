// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/notaryproject/notation-core-go/revocation/purpose"
	notationgo "github.com/notaryproject/notation-go"
	notationregistry "github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	godigest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// notation verifies the signatures of notation according to a trust policy.
type notation struct {
	policy *trustpolicy.Document
	store  trustStore
}

// newNotation parses the trust policy and the certificates of a rule.
func newNotation(files map[string][]byte) (*notation, error) {
	var policy trustpolicy.Document
	if err := json.Unmarshal(files[trustPolicyKey], &policy); err != nil {
		return nil, invalidf("%s is no JSON of a trust policy: %s", trustPolicyKey, printable(err.Error()))
	}
	n := &notation{policy: &policy}
	for _, name := range sortedKeys(withSuffix(files, certificateSuffixes...)) {
		certs, err := parseCertificates(files[name])
		if err != nil {
			return nil, invalidf("%s holds no certificate in PEM or DER", name)
		}
		n.store.certs = append(n.store.certs, certs...)
	}
	if len(n.store.certs) == 0 {
		return nil, invalidf("there is no certificate: add one to the Secret, under a key that ends with %s",
			strings.Join(certificateSuffixes, " or "))
	}
	if _, err := n.verifier(&revocations{}); err != nil {
		return nil, invalidf("%s is not valid: %s", trustPolicyKey, printable(err.Error()))
	}
	return n, nil
}

// parseCertificates parses certificates in DER, or a sequence of them in PEM.
func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	const none = rejection("no certificate")
	der := text
	if block, rest := pem.Decode(text); block != nil {
		der = nil
		for ; block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				return nil, none
			}
			der = append(der, block.Bytes...)
		}
	}
	certs, err := x509.ParseCertificates(der)
	if err == nil && len(certs) == 0 {
		return nil, none
	}
	return certs, err
}

// trustStore has the certificates of the Secret, for every trust store that the trust
// policy names, as in Flux.
type trustStore struct{ certs []*x509.Certificate }

// GetCertificates implements truststore.X509TrustStore.
func (t trustStore) GetCertificates(context.Context, truststore.Type, string) ([]*x509.Certificate, error) {
	return t.certs, nil
}

// verifier returns notation-go's verifier for one signature.
func (n *notation) verifier(r *revocations) (notationgo.Verifier, error) {
	signing, err := r.validator(purpose.CodeSigning)
	if err != nil {
		return nil, err
	}
	stamping, err := r.validator(purpose.Timestamping)
	if err != nil {
		return nil, err
	}
	return verifier.NewWithOptions(n.policy, n.store, nil, verifier.VerifierOptions{
		RevocationCodeSigningValidator:  signing,
		RevocationTimestampingValidator: stamping,
	})
}

// verify implements verifyScheme.
func (n *notation) verify(ctx context.Context, s subject) (Verdict, error) {
	reference := scopeOf(s) + "@" + s.digest
	if reason := n.refusal(reference); reason != "" {
		return reject(reason), nil
	}
	all, err := s.Referrers(ctx, s.digest)
	if err != nil {
		return Verdict{}, err
	}
	a := &attempt{subject: s, noun: "signature"}
	var image *ocispec.Descriptor // requested only if there are signatures
	for _, referrer := range all {
		if a.signer != "" || !mayBeNotation(referrer) {
			continue
		}
		if !a.next() {
			break
		}
		if image == nil {
			if image, err = s.describe(ctx); err != nil {
				return Verdict{}, err
			}
		}
		if err := n.checkReferrer(ctx, a, referrer.Digest, *image, reference); err != nil {
			return Verdict{}, err
		}
	}
	return a.verdict("notation signature")
}

// refusal returns why the trust policy lets no signature of an image pass, "" if one can
// pass.
func (n *notation) refusal(reference string) string {
	applicable, err := n.policy.GetApplicableTrustPolicy(reference)
	if err != nil {
		return "no statement of the trust policy applies to the image: add its name to the registryScopes of one"
	}
	level, err := applicable.SignatureVerification.GetVerificationLevel()
	if err != nil || level.Name == trustpolicy.LevelSkip.Name {
		return "the trust policy skips the verification of the image: give its statement the level strict"
	}
	return ""
}

// scopeOf returns the image's name in the form of registryScopes in trust policies.
func scopeOf(s subject) string {
	return strings.Replace(s.image.Canonical(), "index.docker.io/", "docker.io/", 1)
}

// mayBeNotation reports whether a referrer may be a signature of notation.
func mayBeNotation(r registry.Referrer) bool {
	return r.ArtifactType == "" || r.ArtifactType == emptyType || r.ArtifactType == notationregistry.ArtifactTypeNotation
}

// describe returns the descriptor of the image, which is the payload of notation's
// signatures.
func (s subject) describe(ctx context.Context) (*ocispec.Descriptor, error) {
	m, err := s.Manifest(ctx, s.digest)
	if err != nil {
		return nil, err
	}
	return &ocispec.Descriptor{MediaType: m.MediaType, Digest: godigest.Digest(m.Digest), Size: int64(len(m.Bytes))}, nil
}

// checkReferrer checks the signature in the manifest of a referrer.
func (n *notation) checkReferrer(ctx context.Context, a *attempt, digest string, image ocispec.Descriptor, reference string) error {
	m, err := a.referrer(ctx, digest)
	if err != nil || m == nil {
		return err
	}
	layer := a.onlyLayer(m, func(layer descriptor) bool { return isEnvelope(m, layer) })
	if layer == nil {
		return nil
	}
	envelope, err := a.fetch(ctx, *layer, maxBlob)
	if err != nil || envelope == nil {
		return err
	}
	r := &revocations{}
	v, err := n.verifier(r)
	if err != nil {
		return &UnavailableError{detail: "the trust policy can't be used: " + printable(err.Error())}
	}
	outcome, err := v.Verify(ctx, image, envelope, notationgo.VerifierVerifyOptions{
		ArtifactReference:  reference,
		SignatureMediaType: layer.MediaType,
	})
	if err == nil {
		err = checkOutcome(outcome)
	}
	switch {
	case err == nil:
		a.signer = signerOf(outcome)
	case r.unknown || ctx.Err() != nil:
		a.failed = errRevocation(ctx.Err())
	default:
		a.reject(describeNotation(err))
	}
	return nil
}

// isEnvelope reports whether a layer is the envelope of a signature.
func isEnvelope(m *signatureManifest, layer descriptor) bool {
	isNotation := m.ArtifactType == notationregistry.ArtifactTypeNotation || m.Config.MediaType == notationregistry.ArtifactTypeNotation
	return isNotation && (layer.MediaType == "application/jose+json" || layer.MediaType == "application/cose")
}

// checkOutcome fails unless the integrity and the authenticity of a signature were
// verified. At some levels of trust policies, notation only logs that they were not.
func checkOutcome(outcome *notationgo.VerificationOutcome) error {
	authentic := false
	for _, result := range outcome.VerificationResults {
		if result.Type == trustpolicy.TypeIntegrity || result.Type == trustpolicy.TypeAuthenticity {
			if result.Error != nil {
				return result.Error
			}
			authentic = authentic || result.Type == trustpolicy.TypeAuthenticity
		}
	}
	if !authentic || outcome.EnvelopeContent == nil {
		return rejection("no trusted certificate authenticates the signature")
	}
	return nil
}

// describeNotation returns the reason why notation rejected a signature.
func describeNotation(err error) string {
	if strings.Contains(err.Error(), "content descriptor mismatch") {
		return errImageMismatch.Error()
	}
	return "the signature is not valid: " + printable(err.Error())
}

// signerOf returns the subject of the certificate that made a signature.
func signerOf(outcome *notationgo.VerificationOutcome) string {
	chain := outcome.EnvelopeContent.SignerInfo.CertificateChain
	if len(chain) == 0 {
		return "a certificate"
	}
	return fmt.Sprintf("certificate %s", quote(chain[0].Subject.String()))
}
