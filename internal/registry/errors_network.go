// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// isCertificate reports whether a server's certificate failed verification.
func isCertificate(err error) bool {
	var refused *tls.CertificateVerificationError
	return errors.As(err, &refused)
}

// describeCertificate describes why the registry's certificate failed verification. The
// library's text is not used, because it has the current time.
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

// isAlert reports whether a server ended the TLS connection, such as for lack of a client
// certificate. With TLS 1.3 the alert arrives after the handshake, while the client writes
// the request, which may fail on the closed connection before the alert is read.
func isAlert(err error) bool {
	var network *net.OpError
	if errors.As(err, &network) {
		closed := errors.Is(network, syscall.EPIPE) || errors.Is(network, syscall.ECONNRESET)
		return network.Op == "remote error" || network.Op == "write" && closed
	}
	return strings.Contains(err.Error(), "http2: client conn could not be established")
}

// describeAlert describes why a server ended the TLS connection. The text leaves out the
// alert, because it differs between versions of servers.
func (o operation) describeAlert(host string) string {
	if o.auth.Transport.TLS != nil && len(o.auth.Transport.TLS.Certificates) > 0 {
		return fmt.Sprintf("registry %s refused the TLS connection: check that it accepts the client certificate of %s", host, o.auth.CertOrigin)
	}
	return fmt.Sprintf("registry %s refused the TLS connection: it may want a client certificate, which spec.certSecretRef can give", host)
}

// describeNetwork describes why there was no response, and returns the cause that is
// exposed to callers, if any.
func describeNetwork(host string, err error) (string, error) {
	switch {
	case errors.Is(err, context.Canceled):
		return "the operation was canceled", context.Canceled
	case transport.IsTimeout(err):
		detail := fmt.Sprintf("registry %s did not answer in time: check that it can be reached, or raise spec.timeout", host)
		return detail, context.DeadlineExceeded
	}
	if detail := describeConnection(host, err); detail != "" {
		return detail, nil
	}
	for _, known := range protocolErrors {
		if strings.Contains(err.Error(), known.phrase) {
			return fmt.Sprintf("registry %s %s", host, known.meaning), nil
		}
	}
	// The text of an unexpected error may contain anything, but its type is safe to
	// print.
	return fmt.Sprintf("the request to registry %s failed (%T)", host, innermost(err)), nil
}

// describeConnection describes a failed lookup or connection, "" for other errors.
func describeConnection(host string, err error) string {
	var lookup *net.DNSError
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return fmt.Sprintf("no such host: the name of registry %s, or of a server that it refers to, can't be resolved: check spec.image", host)
	case lookup != nil:
		return fmt.Sprintf("the lookup of the name of registry %s failed", host)
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

// protocolErrors describes errors without a type of their own, by a phrase of their text.
// The first match is used.
//
// "malformed HTTP" is first, because it appears only if plain HTTP was tried, and so is
// allowed already. A server that sends data before the request is written causes another
// error of net/http.
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

// describeProxy sets the details for an error that a proxy caused, and reports
// whether it is one. The proxy's address is left out: the Secret's name is enough.
func (o operation) describeProxy(e *Error, err error) bool {
	var (
		refused *transport.ProxyError
		network *net.OpError
	)
	switch {
	case errors.As(err, &refused):
		o.describeProxyStatus(e, refused.StatusCode)
	case strings.Contains(err.Error(), http.StatusText(http.StatusProxyAuthRequired)):
		o.describeProxyStatus(e, http.StatusProxyAuthRequired) // by a library's own transport
	case !errors.As(err, &network):
		return false
	case network.Op == "proxyconnect": // by net/http
		e.detail = o.describeProxyConnection(network)
	case network.Op == "socks connect": // by net/http
		o.describeSOCKS(e, network.Err.Error())
	default:
		return false
	}
	return true
}

// proxy returns the proxy in the words of messages.
func (o operation) proxy() string {
	if o.auth.ProxyOrigin != "" {
		return "the proxy of " + o.auth.ProxyOrigin
	}
	return "the proxy that the controller's environment names"
}

// describeProxyStatus sets the details for a proxy that refused a connection.
func (o operation) describeProxyStatus(e *Error, status int) {
	switch status {
	case http.StatusProxyAuthRequired:
		o.describeProxyLogin(e, fmt.Sprintf(" (%d)", status))
	case http.StatusForbidden:
		e.detail = fmt.Sprintf("%s does not allow connections to %s (%d)", o.proxy(), e.Host, status)
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.detail = fmt.Sprintf("%s can't reach %s (%d)", o.proxy(), e.Host, status)
	default:
		e.detail = fmt.Sprintf("%s opened no connection to %s (%d)", o.proxy(), e.Host, status)
	}
}

// describeProxyLogin sets the details for a proxy that requires other credentials.
func (o operation) describeProxyLogin(e *Error, status string) {
	e.reason = v1.AuthenticationFailedReason
	if o.auth.Transport.Proxy != nil && o.auth.Transport.Proxy.User == nil {
		e.detail = fmt.Sprintf("%s wants credentials%s: add a username and a password to the Secret", o.proxy(), status)
		return
	}
	e.detail = fmt.Sprintf("%s refused the credentials for it%s: check its username and password", o.proxy(), status)
}

// describeProxyConnection describes why there is no connection to a proxy.
func (o operation) describeProxyConnection(err error) string {
	var lookup *net.DNSError
	switch {
	case transport.IsTimeout(err):
		return o.proxy() + " did not answer in time: check that it can be reached"
	case errors.As(err, &lookup):
		return fmt.Sprintf("the name of %s can't be resolved: check its address", o.proxy())
	case isCertificate(err):
		return fmt.Sprintf("the certificate of %s is not trusted (x509): give its authority's certificate in spec.certSecretRef", o.proxy())
	default:
		return o.proxy() + " can't be reached: check its address, and that it runs"
	}
}

// describeSOCKS sets the details for the error of a SOCKS proxy.
func (o operation) describeSOCKS(e *Error, reply string) {
	switch {
	case strings.Contains(reply, "authentication"):
		o.describeProxyLogin(e, "")
	case strings.Contains(reply, "not allowed"):
		e.detail = fmt.Sprintf("%s does not allow connections to %s", o.proxy(), e.Host)
	default:
		e.detail = fmt.Sprintf("%s can't reach %s", o.proxy(), e.Host)
	}
}

// innermost returns the error at the end of the chain. It follows the last of joined
// errors, which is about the last attempt.
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
