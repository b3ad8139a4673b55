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
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

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
		o.describeProxyStatus(e, http.StatusProxyAuthRequired) // of transports other than ours
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

// proxy names the proxy in a sentence.
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
func (o operation) describeSOCKS(e *Error, answer string) {
	switch {
	case strings.Contains(answer, "authentication"):
		o.describeProxyLogin(e, "")
	case strings.Contains(answer, "not allowed"):
		e.detail = fmt.Sprintf("%s does not allow connections to %s", o.proxy(), e.Host)
	default:
		e.detail = fmt.Sprintf("%s can't reach %s", o.proxy(), e.Host)
	}
}
