// SPDX-License-Identifier: Apache-2.0

package signaturetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
)

// WorkflowIssuer is the issuer of the identities of GitHub's workflows.
const WorkflowIssuer = "https://token.actions.githubusercontent.com"

// workflowAuthority issues certificates to workflows, as Fulcio does for GitHub. The virtual
// Sigstore of sigstore-go only has certificates for mail addresses.
type workflowAuthority struct {
	root, intermediate *x509.Certificate
	key                *ecdsa.PrivateKey
}

// newWorkflowAuthority returns a new authority.
func newWorkflowAuthority(t testing.TB) workflowAuthority {
	t.Helper()
	top, topKey, err := ca.GenerateRootCa()
	if err != nil {
		t.Fatal(err)
	}
	intermediate, key, err := ca.GenerateFulcioIntermediate(top, topKey)
	if err != nil {
		t.Fatal(err)
	}
	return workflowAuthority{root: top, intermediate: intermediate, key: key}
}

// trusted returns the authority for a trusted root.
func (w workflowAuthority) trusted() root.CertificateAuthority {
	return &root.FulcioCertificateAuthority{
		Root: w.root, Intermediates: []*x509.Certificate{w.intermediate}, URI: "https://workflows.fulcio.test",
		ValidityPeriodStart: time.Now().Add(-time.Hour), ValidityPeriodEnd: time.Now().Add(time.Hour),
	}
}

// Workflow is a run of a GitHub workflow.
type Workflow struct {
	Repository string // such as https://github.com/org/app
	Path       string // such as .github/workflows/release.yaml
	Ref        string // such as refs/heads/main
}

// Subject returns the identity of the workflow in its certificate.
func (w Workflow) Subject() string { return w.Repository + "/" + w.Path + "@" + w.Ref }

// Provenance returns the predicate of SLSA provenance v1 in the form in which GitHub's
// artifact attestations have it (https://actions.github.io/buildtypes/workflow/v1).
func (w Workflow) Provenance() map[string]any {
	return map[string]any{
		"buildDefinition": map[string]any{
			"buildType":          "https://actions.github.io/buildtypes/workflow/v1",
			"externalParameters": map[string]any{"workflow": map[string]any{"ref": w.Ref, "repository": w.Repository, "path": w.Path}},
			"internalParameters": map[string]any{"github": map[string]any{"event_name": "push", "runner_environment": "github-hosted"}},
			"resolvedDependencies": []any{map[string]any{
				"uri": "git+" + w.Repository + "@" + w.Ref, "digest": map[string]any{"gitCommit": "0123456789abcdef0123456789abcdef01234567"},
			}},
		},
		"runDetails": map[string]any{
			"builder":  map[string]any{"id": w.Subject()},
			"metadata": map[string]any{"invocationId": w.Repository + "/actions/runs/1/attempts/1"},
		},
	}
}

// leaf returns the certificate of a run, with the extensions of
// https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md.
func (w workflowAuthority) leaf(t testing.TB, run Workflow) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	subject, err := url.Parse(run.Subject())
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), URIs: []*url.URL{subject},
		NotBefore: time.Now(), NotAfter: time.Now().Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	extensions := map[int]string{8: WorkflowIssuer, 9: run.Subject(), 11: "github-hosted", 12: run.Repository, 14: run.Ref, 20: "push"}
	for number, value := range extensions {
		der, err := asn1.MarshalWithParams(value, "utf8")
		if err != nil {
			t.Fatal(err)
		}
		id := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, number}
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: id, Value: der})
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, w.intermediate, key.Public(), w.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// WorkflowBundle returns a bundle of a statement by a workflow, which is logged 5 minutes
// from now, while its certificate is valid.
func (s Sigstore) WorkflowBundle(t testing.TB, run Workflow, statement []byte) []byte {
	t.Helper()
	cert, private := s.workflows.leaf(t, run)
	raw := Key{signer: private}.raw(t, dsse.PAE(statementType, statement), crypto.SHA256)
	envelope := &dsse.Envelope{
		PayloadType: statementType, Payload: base64.StdEncoding.EncodeToString(statement),
		Signatures: []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(raw)}},
	}
	entry, err := s.virtual.GenerateTlogEntry(cert, envelope, raw, time.Now().Add(5*time.Minute).Unix(), true)
	if err != nil {
		t.Fatal(err)
	}
	timestamp, err := s.virtual.TimestampResponse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return s.bundleOf(t, cert.Raw, entry, timestamp, envelopeOf(statement, raw))
}
