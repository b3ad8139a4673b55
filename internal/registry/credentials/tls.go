/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

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

// tlsFile is one of the files that a Secret has for TLS.
type tlsFile struct {
	key  string // by which the Secret has it, or should have it
	data []byte // nil where the Secret lacks it
}

// tlsFiles is what a Secret has for TLS: the certificates of authorities, a
// client certificate with its key, or both.
type tlsFiles struct {
	ca, cert, key tlsFile
	// old are the keys of an older spelling that were read.
	old []string
}

// tlsFilesOf returns what a Secret has for TLS. The keys of the older spelling
// count where the ones of today are missing.
func tlsFilesOf(secret *corev1.Secret) tlsFiles {
	var files tlsFiles
	read := func(key, oldKey string) tlsFile {
		if data := secret.Data[key]; len(data) > 0 {
			return tlsFile{key: key, data: data}
		}
		if data := secret.Data[oldKey]; len(data) > 0 {
			files.old = append(files.old, oldKey)
			return tlsFile{key: oldKey, data: data}
		}
		return tlsFile{key: key}
	}
	files.ca = read(secrets.KeyCACert, secrets.LegacyKeyCACert)
	files.cert = read(secrets.KeyTLSCert, secrets.LegacyKeyTLSCert)
	files.key = read(secrets.KeyTLSPrivateKey, secrets.LegacyKeyTLSPrivateKey)
	return files
}

// config returns the TLS configuration. The system's roots stay trusted beside
// the authorities. Errors go on from the name of the Secret, and quote nothing
// of it.
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

// check finds what is missing.
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

// authorities returns the system's roots and those of the Secret.
func (f tlsFiles) authorities() (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // an image without roots trusts those of the Secret
	}
	if !pool.AppendCertsFromPEM(f.ca.data) {
		return nil, fmt.Errorf("has a %s without any certificate in PEM form", f.ca.key)
	}
	return pool, nil
}

// clientCertificate returns the certificate to show to servers.
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

// checkDates finds a certificate that no server would take.
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

// describeKey says what is wrong with a key that can't be used.
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

// firstCertificate returns the first certificate of a file, which is the
// client's own where others follow.
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
