// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/runtime/secrets"
	lru "github.com/hashicorp/golang-lru/v2"
	corev1 "k8s.io/api/core/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// findTransport reads the certificate and proxy Secrets, and sets the transport
// configuration and its origins in opts.
func (s *search) findTransport(ctx context.Context, opts *Options) error {
	var fields []string
	if ref := s.repo.Spec.CertSecretRef; ref != nil {
		files, err := s.certificates(ctx, ref.Name, opts)
		if err != nil {
			return err
		}
		fields = append(fields, "tls", string(files.ca.data), string(files.cert.data), string(files.key.data))
	}
	if ref := s.repo.Spec.ProxySecretRef; ref != nil {
		secret, err := s.secret(ctx, ref.Name)
		if err != nil {
			return err
		}
		proxy, err := proxyOf(secret)
		if err != nil {
			return failTransport("spec.proxySecretRef", ref.Name, err)
		}
		opts.Transport.Proxy, opts.ProxyOrigin = proxy, fmt.Sprintf("Secret %q", ref.Name)
		fields = append(fields, "proxy", proxy.String())
	}
	if fields != nil {
		opts.Transport.Key = keyedHash(fields...)
	}
	return nil
}

// proxySchemes are the supported schemes of proxy addresses.
var proxySchemes = []string{"http", "https", "socks5", "socks5h"}

// exampleProxy is the example of an address in error messages.
const exampleProxy = "http://proxy.example.com:3128"

// The errors of a proxy's Secret. Their texts continue the Secret's name. They do not quote
// the address, which may have a password.
var (
	errNoAddress    = errors.New("has no key " + secrets.KeyAddress + ": add the address of the proxy, such as " + exampleProxy)
	errBadAddress   = errors.New("has an " + secrets.KeyAddress + " that is no address of a proxy: give one such as " + exampleProxy)
	errBadScheme    = errors.New("has an " + secrets.KeyAddress + " that does not begin with http://, https:// or socks5://")
	errOnlyPassword = errors.New("has a " + secrets.KeyPassword + " without a " + secrets.KeyUsername)
)

// proxyOf returns the address of the proxy in a Secret, with username and password.
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

// proxyUser returns the username and password in the Secret's own keys, or else those in
// the address.
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

// certificates reads the Secret of spec.certSecretRef, and sets the TLS configuration in
// opts.
func (s *search) certificates(ctx context.Context, name string, opts *Options) (tlsFiles, error) {
	secret, err := s.secret(ctx, name)
	if err != nil {
		return tlsFiles{}, err
	}
	files := tlsFilesOf(secret)
	config, err := files.config(s.now())
	if err != nil {
		return tlsFiles{}, failTransport("spec.certSecretRef", name, err)
	}
	if len(files.deprecated) > 0 {
		s.deprecatedKeys.report(s.repo, secret, files.deprecated)
	}
	opts.Transport.TLS, opts.CertOrigin = config, fmt.Sprintf("Secret %q", name)
	return files, nil
}

// maxWarned bounds the recorded warnings. Older ones may be repeated.
const maxWarned = 20_000

// deprecatedKeys warns of Secrets with deprecated keys, once per object and version of the
// Secret.
type deprecatedKeys struct {
	warn   func(repo *v1.ImageRepository, message string) // nil for no warnings
	warned *lru.Cache[string, struct{}]                   // by the object and the Secret's version
}

func newDeprecatedKeys(warn func(*v1.ImageRepository, string)) *deprecatedKeys {
	warned, err := lru.New[string, struct{}](maxWarned)
	if err != nil {
		panic(err) // the size is a constant of the program
	}
	return &deprecatedKeys{warn: warn, warned: warned}
}

// report warns of the deprecated keys of a Secret, unless it has done so before.
func (k *deprecatedKeys) report(repo *v1.ImageRepository, secret *corev1.Secret, keys []string) {
	if k.warn == nil {
		return
	}
	version := strings.Join([]string{string(repo.UID), secret.Name, string(secret.UID), secret.ResourceVersion}, "/")
	if warned, _ := k.warned.ContainsOrAdd(version, struct{}{}); warned {
		return
	}
	k.warn(repo, fmt.Sprintf("Secret %q has the deprecated keys %s: use tls.crt, tls.key and ca.crt in place of certFile, keyFile and caFile",
		secret.Name, strings.Join(keys, ", ")))
}
