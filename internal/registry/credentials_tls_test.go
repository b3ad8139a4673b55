// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// pair is a certificate and its key as PEM.
type pair struct{ cert, key []byte }

// newPair returns a self-signed certificate with the given validity.
func newPair(t testing.TB, from, to time.Time) pair {
	t.Helper()
	issued := registrytest.Certificate{}.Issue(t, &x509.Certificate{NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true})
	return pair{cert: issued.PEM(), key: issued.KeyPEM(t)}
}

// validPair returns a certificate that is valid today.
func validPair(t testing.TB) pair {
	t.Helper()
	return newPair(t, time.Time{}, time.Time{})
}

// dataSecret returns a Secret with several keys.
func dataSecret(name string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "apps", UID: "uid", ResourceVersion: "1"}, Data: data}
}

func TestCertificates_ParseSecret(t *testing.T) {
	good, other := validPair(t), validPair(t)
	expired := newPair(t, time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2001, 2, 3, 0, 0, 0, 0, time.UTC))
	early := newPair(t, time.Date(2901, 2, 3, 0, 0, 0, 0, time.UTC), time.Date(2902, 1, 1, 0, 0, 0, 0, time.UTC))
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte(canary)})
	bad := []byte(canary)
	cases := map[string]struct {
		reason             string
		data               map[string][]byte
		wantCA, wantClient bool
		wantErr            string
	}{
		"CA":           {reason: "only a certificate authority", data: map[string][]byte{"ca.crt": good.cert}, wantCA: true},
		"Client":       {reason: "only a client certificate", data: map[string][]byte{"tls.crt": good.cert, "tls.key": good.key}, wantClient: true},
		"Both":         {reason: "both", data: map[string][]byte{"ca.crt": other.cert, "tls.crt": good.cert, "tls.key": good.key}, wantCA: true, wantClient: true},
		"EmptyCA":      {reason: "issuers without a certificate authority leave an empty key", data: map[string][]byte{"ca.crt": {}, "tls.crt": good.cert, "tls.key": good.key}, wantClient: true},
		"Old":          {reason: "the deprecated keys", data: map[string][]byte{"caFile": other.cert, "certFile": good.cert, "keyFile": good.key}, wantCA: true, wantClient: true},
		"Mixed":        {reason: "a mixture of keys", data: map[string][]byte{"ca.crt": other.cert, "certFile": good.cert, "tls.key": good.key}, wantCA: true, wantClient: true},
		"NewWins":      {reason: "the current keys take precedence", data: map[string][]byte{"ca.crt": good.cert, "caFile": bad}, wantCA: true},
		"Chain":        {reason: "further certificates may follow", data: map[string][]byte{"tls.crt": append(append([]byte{}, good.cert...), other.cert...), "tls.key": good.key}, wantClient: true},
		"None":         {reason: "a Secret of another type", data: map[string][]byte{"password": bad}, wantErr: "has neither a ca.crt nor a tls.crt"},
		"NoKey":        {reason: "an incomplete pair", data: map[string][]byte{"tls.crt": good.cert}, wantErr: "has a tls.crt but no tls.key"},
		"NoCert":       {reason: "an incomplete pair", data: map[string][]byte{"tls.key": good.key}, wantErr: "has a tls.key but no tls.crt"},
		"OldNoKey":     {reason: "the error names the existing key", data: map[string][]byte{"certFile": good.cert}, wantErr: "has a certFile but no tls.key"},
		"BadCA":        {reason: "not PEM", data: map[string][]byte{"ca.crt": bad}, wantErr: "has a ca.crt without any certificate"},
		"KeyAsCA":      {reason: "the wrong file", data: map[string][]byte{"ca.crt": good.key}, wantErr: "has a ca.crt without any certificate"},
		"BadCert":      {reason: "not PEM", data: map[string][]byte{"tls.crt": bad, "tls.key": good.key}, wantErr: "has a tls.crt that holds no certificate"},
		"BadKey":       {reason: "not PEM", data: map[string][]byte{"tls.crt": good.cert, "tls.key": bad}, wantErr: "has a tls.key that holds no private key"},
		"Swapped":      {reason: "a common mistake", data: map[string][]byte{"tls.crt": good.key, "tls.key": good.cert}, wantErr: "has a tls.crt that holds no certificate"},
		"EncryptedKey": {reason: "encrypted keys are not supported", data: map[string][]byte{"tls.crt": good.cert, "tls.key": encrypted}, wantErr: "has a tls.key that is encrypted"},
		"OtherKey":     {reason: "a key of another certificate", data: map[string][]byte{"tls.crt": good.cert, "tls.key": other.key}, wantErr: "has a tls.key that does not belong to the certificate in tls.crt"},
		"Expired":      {reason: "expired certificates are rejected by servers", data: map[string][]byte{"tls.crt": expired.cert, "tls.key": expired.key}, wantErr: "has a client certificate (tls.crt) that expired on 2001-02-03: renew it"},
		"Early":        {reason: "servers reject it before it is valid", data: map[string][]byte{"tls.crt": early.cert, "tls.key": early.key}, wantErr: "has a client certificate (tls.crt) that is not valid before 2901-02-03"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c := newCluster([]*corev1.Secret{dataSecret("certs", tc.data)}, nil)
			auth, err := NewAuthOptionsGetter(credentials.NewResolver(c)).AuthOptions(t.Context(), repository(func(s *v1.ImageRepositorySpec) { s.CertSecretRef = secretRef("certs") }))
			if tc.wantErr != "" {
				checkError(t, err, v1.AuthenticationFailedReason, `Secret "certs" of spec.certSecretRef `+tc.wantErr)
				return
			}
			g.Expect(err).NotTo(HaveOccurred(), tc.reason)
			config := auth.Transport.TLS
			g.Expect(config.MinVersion).To(BeEquivalentTo(tls.VersionTLS12), "TLS settings")
			g.Expect(config.InsecureSkipVerify).To(BeFalse(), "TLS settings")
			g.Expect(config.RootCAs != nil).To(Equal(tc.wantCA), "%s: got authorities %v and client certificates %d", tc.reason, config.RootCAs, len(config.Certificates))
			g.Expect(len(config.Certificates) > 0).To(Equal(tc.wantClient), "%s: got authorities %v and client certificates %d", tc.reason, config.RootCAs, len(config.Certificates))
			if !auth.IsAnonymous() || auth.Identity() == "" || auth.CertOrigin != `Secret "certs"` {
				t.Errorf("%s: got identity %q, origin %q", tc.reason, auth.Identity(), auth.CertOrigin)
			}
		})
	}
}

func TestCertificates_KeepSystemRoots(t *testing.T) {
	pair := validPair(t)
	c := newCluster([]*corev1.Secret{dataSecret("ca", map[string][]byte{"ca.crt": pair.cert})}, nil)
	auth, err := NewAuthOptionsGetter(credentials.NewResolver(c)).AuthOptions(t.Context(), repository(func(s *v1.ImageRepositorySpec) { s.CertSecretRef = secretRef("ca") }))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	want, err := x509.SystemCertPool()
	if err != nil {
		t.Skip("this machine has no root certificates")
	}
	if want.AppendCertsFromPEM(pair.cert); !auth.Transport.TLS.RootCAs.Equal(want) {
		t.Error("want the roots of the system and the Secret")
	}
}

func TestCertificates_WarnOnceOfDeprecatedKeys(t *testing.T) {
	pair := validPair(t)
	old := dataSecret("old", map[string][]byte{"caFile": pair.cert, "tls.crt": pair.cert, "keyFile": pair.key})
	c := newCluster([]*corev1.Secret{old, dataSecret("new", map[string][]byte{"ca.crt": pair.cert})}, nil)
	var warnings []string
	g := NewAuthOptionsGetter(credentials.NewResolver(c, credentials.WithWarnings(func(repo *v1.ImageRepository, message string) {
		warnings = append(warnings, string(repo.UID)+" "+message)
	})))
	scan := func(uid types.UID, secret string) {
		t.Helper()
		repo := repository(func(s *v1.ImageRepositorySpec) { s.CertSecretRef = secretRef(secret) })
		repo.UID = uid
		NewWithT(t).Expect(g.AuthOptions(t.Context(), repo)).Error().NotTo(HaveOccurred())
	}
	const message = `Secret "old" has the deprecated keys caFile, keyFile: use tls.crt, tls.key and ca.crt in place of certFile, keyFile and caFile`
	steps := []struct {
		reason string
		run    func()
		want   []string
	}{
		{reason: "the current keys cause no warning", run: func() { scan("a", "new") }},
		{reason: "the first warning", run: func() { scan("a", "old") }, want: []string{"a " + message}},
		{reason: "no repeated warning", run: func() { scan("a", "old"); scan("a", "old") }},
		{reason: "another object may have another owner", run: func() { scan("b", "old") }, want: []string{"b " + message}},
		{reason: "the Secret changed but still has the deprecated keys", run: func() { c.secrets["old"].ResourceVersion = "2"; scan("a", "old") }, want: []string{"a " + message}},
		{reason: "no repeated warning", run: func() { scan("a", "old") }},
	}
	for _, step := range steps {
		warnings = nil
		step.run()
		NewWithT(t).Expect(warnings).To(BeComparableTo(step.want), step.reason)
	}
}
