// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// Resolver resolves the identities of ImageRepositories. It is safe for concurrent use.
type Resolver struct {
	reader         client.Reader
	cloud          *Cloud // nil if no cloud is supported
	deprecatedKeys *deprecatedKeys
	now            func() time.Time
}

// NewResolver returns a Resolver that reads Secrets and ServiceAccounts through
// reader, in the namespace of the ImageRepository.
//
// The credentials are those of spec.secretRef. If it has none for the registry, they are
// those of the cloud in spec.provider, or else those of the pull secrets of
// spec.serviceAccountName. Otherwise access is anonymous, as with docker, because public
// images need no credentials. A missing Secret is an error, and so is a provider that
// returns no credentials.
//
// The certificates and the proxy are those of spec.certSecretRef and spec.proxySecretRef,
// for every source of the credentials.
func NewResolver(reader client.Reader, opts ...Option) *Resolver {
	r := &Resolver{reader: reader, deprecatedKeys: newDeprecatedKeys(nil), now: time.Now}
	for _, opt := range opts {
		opt(r)
	}
	return r
}

// Option configures a Resolver.
type Option func(*Resolver)

// WithCloud enables clouds in spec.provider. Without it, every value but "generic" is an
// error.
func WithCloud(cloud Cloud) Option {
	if cloud.Tokens == nil {
		cloud.Tokens = &TokenCache{now: time.Now}
	}
	return func(r *Resolver) { r.cloud = &cloud }
}

// WithWarnings sets a function that is called with each warning about an ImageRepository,
// once per warning. Calls may be concurrent.
func WithWarnings(warn func(repo *v1.ImageRepository, message string)) Option {
	return func(r *Resolver) { r.deprecatedKeys = newDeprecatedKeys(warn) }
}

// Resolve returns the identity for the image of an ImageRepository. It reads Secrets, so it
// should be called only before a request. It fails with an *Error or a *CloudError.
func (r *Resolver) Resolve(ctx context.Context, repo *v1.ImageRepository, img image.Name) (Options, error) {
	s := &search{Resolver: r, repo: repo, image: img, secrets: map[string]*corev1.Secret{}}
	if err := s.checkCloud(); err != nil {
		return Options{}, err
	}
	var base Options // first, because requests to the cloud use the same transport
	if err := s.findTransport(ctx, &base); err != nil {
		return Options{}, err
	}
	opts, err := s.credentials(ctx, base)
	if err != nil {
		return Options{}, err
	}
	opts.Transport, opts.CertOrigin, opts.ProxyOrigin = base.Transport, base.CertOrigin, base.ProxyOrigin
	return opts, nil
}

// search resolves the identity of one ImageRepository.
type search struct {
	*Resolver
	repo    *v1.ImageRepository
	image   image.Name
	secrets map[string]*corev1.Secret // read so far, by name
}

// credentials returns the credentials of the first source that has any. Later sources are
// not read.
func (s *search) credentials(ctx context.Context, base Options) (Options, error) {
	var searched []string
	if ref := s.repo.Spec.SecretRef; ref != nil {
		searched = []string{ref.Name}
		if found, ok, err := s.inSecrets(ctx, searched); ok || err != nil {
			return found, err
		}
	}
	if s.usesCloud() {
		return s.fromCloud(ctx, base)
	}
	if s.repo.Spec.ServiceAccountName != "" {
		names, err := s.pullSecrets(ctx, s.repo.Spec.ServiceAccountName)
		if err != nil {
			return Options{}, err
		}
		names, missing := s.existing(ctx, names)
		if found, ok, err := s.inSecrets(ctx, names); ok || err != nil {
			return found, err
		}
		if missing != nil {
			return Options{}, missing
		}
		for _, name := range names {
			if !slices.Contains(searched, name) {
				searched = append(searched, name)
			}
		}
	}
	return anonymous(s.repo.Spec.ServiceAccountName, searched, s.image.Host()), nil
}

// anonymous returns the anonymous identity, with its reason if the spec refers to
// credentials. searched are the names of the Secrets without credentials for host.
func anonymous(serviceAccount string, searched []string, host string) Options {
	switch {
	case len(searched) > 0:
		return AnonymousBecause(fmt.Sprintf(`no credentials for %s are in Secret "%s"`, host, strings.Join(searched, `", "`)))
	case serviceAccount != "":
		return AnonymousBecause(fmt.Sprintf("ServiceAccount %q has no pull secrets", serviceAccount))
	default:
		return Options{}
	}
}

// inSecrets returns the credentials of the most specific entry in the Secrets, and whether
// there are any. The first of equally specific entries takes precedence.
func (s *search) inSecrets(ctx context.Context, names []string) (Options, bool, error) {
	var best Options
	var key *registryKey
	for _, name := range names {
		secret, err := s.secret(ctx, name)
		if err != nil {
			return Options{}, false, err
		}
		config, err := dockerConfigOf(secret)
		if err != nil {
			return Options{}, false, failSecret(secret, err)
		}
		match, ok, err := config.find(s.image)
		if err != nil {
			return Options{}, false, failSecret(secret, err)
		}
		if ok && (key == nil || match.key.compare(*key) < 0) {
			key, best = &match.key, New(s.image, match.credentials, fmt.Sprintf("Secret %q", name))
		}
	}
	return best, key != nil, nil
}

// pullSecrets returns the names of the pull secrets of a service account.
func (s *search) pullSecrets(ctx context.Context, serviceAccount string) ([]string, error) {
	account := &corev1.ServiceAccount{}
	if err := s.get(ctx, "ServiceAccount", serviceAccount, account); err != nil {
		return nil, err
	}
	var names []string
	for _, ref := range account.ImagePullSecrets {
		names = append(names, ref.Name)
	}
	return names, nil
}

// existing returns the names of the Secrets that exist, and an error about the first one
// that does not. The caller ignores missing Secrets if another one has the credentials, like
// the kubelet.
func (s *search) existing(ctx context.Context, names []string) ([]string, error) {
	var missing error
	found := make([]string, 0, len(names))
	for _, name := range names {
		if _, err := s.secret(ctx, name); apierrors.IsNotFound(err) {
			missing = cmp.Or(missing, err)
			continue
		}
		found = append(found, name)
	}
	return found, missing
}

// secret reads a Secret. It reads a Secret only once if several fields refer to it.
func (s *search) secret(ctx context.Context, name string) (*corev1.Secret, error) {
	if secret, found := s.secrets[name]; found {
		return secret, nil
	}
	secret := &corev1.Secret{}
	if err := s.get(ctx, "Secret", name, secret); err != nil {
		return nil, err
	}
	s.secrets[name] = secret
	return secret, nil
}

// get reads an object in the ImageRepository's namespace. kind is for errors.
func (s *search) get(ctx context.Context, kind, name string, obj client.Object) error {
	key := types.NamespacedName{Namespace: s.repo.Namespace, Name: name}
	if err := s.reader.Get(ctx, key, obj); err != nil {
		return failRead(kind, name, err)
	}
	return nil
}
