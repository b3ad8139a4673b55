// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/runtime/secrets"
	corev1 "k8s.io/api/core/v1"
)

// tlsFile is a TLS file in a Secret.
type tlsFile struct {
	key  string // of the Secret's data
	data []byte // nil if it is missing
}

// tlsFiles are the TLS files in a Secret: the certificates of authorities, a client
// certificate with its key, or both.
type tlsFiles struct {
	ca, cert, key tlsFile
	deprecated    []string // the deprecated keys of the Secret that were used
}

// tlsFilesOf returns the TLS files in a Secret. A deprecated key is used if the current one
// is missing.
func tlsFilesOf(secret *corev1.Secret) tlsFiles {
	var files tlsFiles
	read := func(key, deprecatedKey string) tlsFile {
		if data := secret.Data[key]; len(data) > 0 {
			return tlsFile{key: key, data: data}
		}
		if data := secret.Data[deprecatedKey]; len(data) > 0 {
			files.deprecated = append(files.deprecated, deprecatedKey)
			return tlsFile{key: deprecatedKey, data: data}
		}
		return tlsFile{key: key}
	}
	files.ca = read(secrets.KeyCACert, secrets.LegacyKeyCACert)
	files.cert = read(secrets.KeyTLSCert, secrets.LegacyKeyTLSCert)
	files.key = read(secrets.KeyTLSPrivateKey, secrets.LegacyKeyTLSPrivateKey)
	return files
}

// config returns the TLS configuration, which also trusts the system's roots. The texts of
// its errors continue the name of the Secret, and do not quote its data.
func (f tlsFiles) config(now time.Time) (*tls.Config, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca.data != nil {
		pool, err := f.authorities()
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	if f.cert.data != nil {
		certificate, err := f.clientCertificate(now)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}

// check fails if files are missing.
func (f tlsFiles) check() error {
	switch {
	case f.cert.data == nil && f.key.data == nil && f.ca.data == nil:
		return errors.New("has neither a ca.crt nor a tls.crt with its tls.key: add what the registry's TLS needs")
	case f.cert.data == nil && f.key.data != nil:
		return fmt.Errorf("has a %s but no tls.crt: add the client certificate that belongs to the key", f.key.key)
	case f.cert.data != nil && f.key.data == nil:
		return fmt.Errorf("has a %s but no tls.key: add the key of the client certificate", f.cert.key)
	default:
		return nil
	}
}

// authorities returns the roots of the system and of the Secret.
func (f tlsFiles) authorities() (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // the container image may have no roots
	}
	if !pool.AppendCertsFromPEM(f.ca.data) {
		return nil, fmt.Errorf("has a %s without any certificate in PEM form", f.ca.key)
	}
	return pool, nil
}

// clientCertificate returns the client certificate.
func (f tlsFiles) clientCertificate(now time.Time) (tls.Certificate, error) {
	leaf, err := firstCertificate(f.cert.data)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("has a %s that holds no certificate in PEM form", f.cert.key)
	}
	certificate, err := tls.X509KeyPair(f.cert.data, f.key.data)
	if err != nil {
		return tls.Certificate{}, errors.New(f.describeKey(err))
	}
	return certificate, f.checkDates(leaf, now)
}

// checkDates fails if a certificate has expired or is not valid yet.
func (f tlsFiles) checkDates(leaf *x509.Certificate, now time.Time) error {
	const day = "2006-01-02"
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("has a client certificate (%s) that expired on %s: renew it", f.cert.key, leaf.NotAfter.UTC().Format(day))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("has a client certificate (%s) that is not valid before %s", f.cert.key, leaf.NotBefore.UTC().Format(day))
	default:
		return nil
	}
}

// describeKey describes the problem of an invalid key.
func (f tlsFiles) describeKey(err error) string {
	block, _ := pem.Decode(f.key.data)
	switch {
	case strings.Contains(err.Error(), "does not match"):
		return fmt.Sprintf("has a %s that does not belong to the certificate in %s", f.key.key, f.cert.key)
	case block != nil && (strings.Contains(block.Type, "ENCRYPTED") || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")):
		return fmt.Sprintf("has a %s that is encrypted: decrypt it first", f.key.key)
	default:
		return fmt.Sprintf("has a %s that holds no private key in PEM form", f.key.key)
	}
}

// firstCertificate returns the first certificate in a file, which is the leaf of the chain.
func firstCertificate(data []byte) (*x509.Certificate, error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil, errors.New("no certificate")
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
}
