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
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/runtime/secrets"
	corev1 "k8s.io/api/core/v1"
)

// proxySchemes are the protocols by which a proxy can be reached.
var proxySchemes = []string{"http", "https", "socks5", "socks5h"}

// exampleProxy is the address of a proxy in hints.
const exampleProxy = "http://proxy.example.com:3128"

// The errors of a proxy's Secret go on from its name, and quote nothing of it:
// an address may hold a password.
var (
	errNoAddress    = errors.New("has no key " + secrets.KeyAddress + ": add the address of the proxy, such as " + exampleProxy)
	errBadAddress   = errors.New("has an " + secrets.KeyAddress + " that is no address of a proxy: give one such as " + exampleProxy)
	errBadScheme    = errors.New("has an " + secrets.KeyAddress + " that does not begin with http://, https:// or socks5://")
	errOnlyPassword = errors.New("has a " + secrets.KeyPassword + " without a " + secrets.KeyUsername)
)

// proxyOf returns the address, with username and password, of the proxy that a
// Secret is about.
func proxyOf(secret *corev1.Secret) (*url.URL, error) {
	address := strings.TrimSpace(string(secret.Data[secrets.KeyAddress]))
	if address == "" {
		return nil, errNoAddress
	}
	if !slices.ContainsFunc(proxySchemes, func(scheme string) bool {
		return strings.HasPrefix(strings.ToLower(address), scheme+"://")
	}) {
		return nil, errBadScheme
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, errBadAddress
	}
	user, err := proxyUser(secret, u.User)
	if err != nil {
		return nil, err
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, User: user}, nil
}

// proxyUser returns the username and password for a proxy: those of the
// Secret, or else those in the address.
func proxyUser(secret *corev1.Secret, inAddress *url.Userinfo) (*url.Userinfo, error) {
	username, password := secret.Data[secrets.KeyUsername], secret.Data[secrets.KeyPassword]
	switch {
	case len(username) == 0 && len(password) > 0:
		return nil, errOnlyPassword
	case len(username) == 0:
		return inAddress, nil
	case len(password) == 0:
		return url.User(string(username)), nil
	default:
		return url.UserPassword(string(username), string(password)), nil
	}
}
