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

// Resolver finds the identity of ImageRepositories. It is safe for concurrent use.
type Resolver struct {
	reader  client.Reader
	cloud   *Cloud // nil if there is none
	oldKeys *oldKeys
	now     func() time.Time
}

// NewResolver returns a Resolver that reads Secrets and ServiceAccounts through
// reader, in the namespace of the ImageRepository.
//
// The credentials are those of spec.secretRef. If that has none for the registry,
// they are those of the cloud that spec.provider names, or without one those of
// the pull secrets of spec.serviceAccountName. If there are none, access is
// anonymous, as it is with docker: public images need no entry. A Secret that is
// named and does not exist is an error, and so is a provider that returns no
// credentials.
//
// Certificates and proxy are those of spec.certSecretRef and spec.proxySecretRef,
// whatever the origin of the credentials.
func NewResolver(reader client.Reader, opts ...Option) *Resolver {
	r := &Resolver{reader: reader, oldKeys: newOldKeys(nil), now: time.Now}
	for _, opt := range opts {
		opt(r)
	}
	return r
}

// Option changes a Resolver that is being made.
type Option func(*Resolver)

// WithCloud has spec.provider obeyed. Without it, any other than "generic" is an
// error.
func WithCloud(cloud Cloud) Option {
	if cloud.Tokens == nil {
		cloud.Tokens = &TokenCache{now: time.Now}
	}
	return func(r *Resolver) { r.cloud = &cloud }
}

// WithWarnings has warn called with what the owner of an ImageRepository should
// change although it works: once for each fact, by many goroutines.
func WithWarnings(warn func(repo *v1.ImageRepository, message string)) Option {
	return func(r *Resolver) { r.oldKeys = newOldKeys(warn) }
}

// Resolve finds the identity for the image of an ImageRepository. It reads
// Secrets, so it is to be called only when a request will be made. It fails with an
// *Error or a *CloudError.
func (r *Resolver) Resolve(ctx context.Context, repo *v1.ImageRepository, img image.Name) (Options, error) {
	s := &search{Resolver: r, repo: repo, image: img, secrets: map[string]*corev1.Secret{}}
	if err := s.checkCloud(); err != nil {
		return Options{}, err
	}
	return s.run(ctx)
}

// search looks for the identity of one ImageRepository.
type search struct {
	*Resolver
	repo    *v1.ImageRepository
	image   image.Name
	secrets map[string]*corev1.Secret // that were read
}

// run looks for the transport configuration, and then for credentials: a cloud is
// reached by the same transport.
func (s *search) run(ctx context.Context) (Options, error) {
	var base Options
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

// credentials looks at one source after the other, and at a source only where
// those before it have nothing.
func (s *search) credentials(ctx context.Context, base Options) (Options, error) {
	var looked []string
	if ref := s.repo.Spec.SecretRef; ref != nil {
		looked = []string{ref.Name}
		if found, ok, err := s.inSecrets(ctx, looked); ok || err != nil {
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
		looked = appendNew(looked, names)
	}
	return anonymous(s.repo.Spec.ServiceAccountName, looked, s.image.Host()), nil
}

// anonymous returns the anonymous identity, with the reason for it where the
// spec promises credentials.
func anonymous(serviceAccount string, looked []string, host string) Options {
	switch {
	case len(looked) > 0:
		return AnonymousBecause(fmt.Sprintf("no credentials for %s are in Secret %s", host, quoted(looked)))
	case serviceAccount != "":
		return AnonymousBecause(fmt.Sprintf("ServiceAccount %q has no pull secrets", serviceAccount))
	default:
		return Options{}
	}
}

// appendNew appends the names that are not there yet.
func appendNew(names, more []string) []string {
	for _, name := range more {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// quoted lists names in a sentence.
func quoted(names []string) string { return `"` + strings.Join(names, `", "`) + `"` }

// inSecrets returns the best credentials in some Secrets, and whether there are
// any: those whose entry is the most specific, and of two such the first.
func (s *search) inSecrets(ctx context.Context, names []string) (Options, bool, error) {
	var best Options
	var key *registryKey
	for _, name := range names {
		secret, err := s.secret(ctx, name)
		if err != nil {
			return Options{}, false, err
		}
		match, ok, err := findIn(secret, s.image)
		if err != nil {
			return Options{}, false, failSecret(secret, err)
		}
		if ok && (key == nil || match.key.compare(*key) < 0) {
			key, best = &match.key, New(s.image, match.credentials, fmt.Sprintf("Secret %q", name))
		}
	}
	return best, key != nil, nil
}

// findIn returns the credentials for an image in a Secret, and whether it has any.
func findIn(secret *corev1.Secret, img image.Name) (dockerMatch, bool, error) {
	config, err := dockerConfigOf(secret)
	if err != nil {
		return dockerMatch{}, false, err
	}
	return config.find(img)
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

// existing returns the names of the Secrets that exist, and an error about the
// first that doesn't. As for the kubelet, one that is missing is no obstacle where
// another one has what is needed.
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

// secret reads a Secret, once however many fields of the spec name it.
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

// get reads an object in the ImageRepository's namespace. kind is for the
// error.
func (s *search) get(ctx context.Context, kind, name string, obj client.Object) error {
	key := types.NamespacedName{Namespace: s.repo.Namespace, Name: name}
	if err := s.reader.Get(ctx, key, obj); err != nil {
		return failRead(kind, name, err)
	}
	return nil
}
