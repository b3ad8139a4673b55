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

package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// isCertificate reports whether the registry's certificate was refused.
func isCertificate(err error) bool {
	var refused *tls.CertificateVerificationError
	return errors.As(err, &refused)
}

// describeCertificate says why the registry's certificate was refused. The
// library's own words hold the current time.
func (o operation) describeCertificate(host string, err error) string {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &authority) && o.auth.CertOrigin != "":
		return fmt.Sprintf("the certificate of registry %s is signed by an unknown authority (x509): "+
			"add the authority's certificate to the ca.crt of %s", host, o.auth.CertOrigin)
	case errors.As(err, &authority):
		return fmt.Sprintf("the certificate of registry %s is signed by an unknown authority (x509): "+
			"give the authority's certificate in spec.certSecretRef", host)
	case errors.As(err, &name):
		return fmt.Sprintf("the certificate of registry %s is not valid for that name (x509)", host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil && invalid.Cert.IsCA:
		return fmt.Sprintf("the authority that signed the certificate of registry %s has itself one "+
			"that has expired or is not valid yet (x509)", host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("the certificate of registry %s has expired or is not valid yet (x509)", host)
	default:
		return fmt.Sprintf("the certificate of registry %s is not valid (x509)", host)
	}
}

// isAlert reports whether a server ended the TLS connection. With TLS 1.3 that
// happens after the handshake, as it looks from here, while the request is
// written: so it is a matter of luck whether the server's reason is read before
// the connection is found to be closed.
func isAlert(err error) bool {
	var network *net.OpError
	if errors.As(err, &network) {
		closed := errors.Is(network, syscall.EPIPE) || errors.Is(network, syscall.ECONNRESET)
		return network.Op == "remote error" || network.Op == "write" && closed
	}
	return strings.Contains(err.Error(), "http2: client conn could not be established")
}

// describeAlert says what a server that ends the TLS connection may want.
// Which alert it sends for the same reason is a matter of versions.
func (o operation) describeAlert(host string) string {
	if o.auth.Transport.TLS != nil && len(o.auth.Transport.TLS.Certificates) > 0 {
		return fmt.Sprintf("registry %s refused the TLS connection: check that it accepts the client certificate of %s", host, o.auth.CertOrigin)
	}
	return fmt.Sprintf("registry %s refused the TLS connection: it may want a client certificate, which spec.certSecretRef can give", host)
}

// describeNetwork says why there was no answer. It returns the cause too where
// callers may want to know it.
func describeNetwork(host string, err error) (string, error) {
	switch {
	case errors.Is(err, context.Canceled):
		return "the operation was canceled", context.Canceled
	case transport.IsTimeout(err):
		detail := fmt.Sprintf("registry %s did not answer in time: check that it can be reached, or raise spec.timeout", host)
		return detail, context.DeadlineExceeded
	}
	if detail := describeLookup(host, err); detail != "" {
		return detail, nil
	}
	if detail := describeConnection(host, err); detail != "" {
		return detail, nil
	}
	if detail := describeProtocol(host, err.Error()); detail != "" {
		return detail, nil
	}
	// The text of an error that nobody thought of may hold anything. Its type
	// does not, and is enough to look it up.
	return fmt.Sprintf("the request to registry %s failed (%T)", host, innermost(err)), nil
}

// describeLookup says why a name has no address.
func describeLookup(host string, err error) string {
	var lookup *net.DNSError
	switch {
	case !errors.As(err, &lookup):
		return ""
	case lookup.IsNotFound:
		return fmt.Sprintf("no such host: the name of registry %s, or of a server that it refers to, can't be resolved: check spec.image", host)
	default:
		return fmt.Sprintf("the lookup of the name of registry %s failed", host)
	}
}

// describeConnection says what happened to a connection.
func describeConnection(host string, err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("connection refused by registry %s: check the host and port in spec.image, and that the registry runs", host)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fmt.Sprintf("no route to registry %s", host)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("registry %s closed the connection in the middle of an answer", host)
	default:
		return ""
	}
}

// protocolErrors maps phrases of errors that have no type of their own to
// what they mean. The first one that is found counts.
//
// "malformed HTTP" comes first: it appears only where plain HTTP was tried, so
// where it is allowed already. What a server sends before it is asked has another
// error in net/http, if it arrives before the request is written.
var protocolErrors = []struct{ phrase, meaning string }{
	{"malformed HTTP", "does not speak HTTP"},
	{"readLoopPeekFailLocked", "does not speak HTTP"},
	{"server gave HTTP response to HTTPS client", "speaks plain HTTP: set spec.insecure only if that is intended"},
	{"first record does not look like a TLS handshake", "does not speak TLS: set spec.insecure only if that is intended"},
	{"tls:", "does not agree on a TLS connection"},
	{"server response headers exceeded", "sent headers that are too long"},
	{"GOAWAY", "closed the connection in the middle of an answer"},
	{"stream error", "closed the connection in the middle of an answer"},
	{"server closed idle connection", "closed the connection in the middle of an answer"},
}

// describeProtocol says what is wrong with the protocol that a server speaks,
// by the text of the error.
func describeProtocol(host, text string) string {
	for _, known := range protocolErrors {
		if strings.Contains(text, known.phrase) {
			return fmt.Sprintf("registry %s %s", host, known.meaning)
		}
	}
	return ""
}

// innermost returns the error at the end of the chain: where there are several
// chains, of the last one, which is about what was tried last.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) > 0 {
			next = joined.Unwrap()[len(joined.Unwrap())-1]
		}
		if next == nil {
			return err
		}
		err = next
	}
}
