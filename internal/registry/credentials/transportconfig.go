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
	"context"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// findTransport reads the certificate and proxy Secrets, and sets the transport
// configuration and its origin.
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

// certificates reads the Secret of spec.certSecretRef.
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
	if len(files.old) > 0 {
		s.oldKeys.found(s.repo, secret, files.old)
	}
	opts.Transport.TLS, opts.CertOrigin = config, fmt.Sprintf("Secret %q", name)
	return files, nil
}

// maxWarned bounds what is remembered of warnings. Beyond it they may be repeated
// once.
const maxWarned = 20_000

// oldKeys warns of Secrets that spell their keys in the older way: once for
// each object and content of a Secret.
type oldKeys struct {
	warn func(repo *v1.ImageRepository, message string) // nil for no warnings

	mu     sync.Mutex
	warned map[types.UID]string // the Secret's content, by the object
}

func newOldKeys(warn func(*v1.ImageRepository, string)) *oldKeys {
	return &oldKeys{warn: warn, warned: map[types.UID]string{}}
}

// found warns of the keys, unless that was done already.
func (o *oldKeys) found(repo *v1.ImageRepository, secret *corev1.Secret, keys []string) {
	content := secret.Name + "/" + string(secret.UID) + "/" + secret.ResourceVersion
	if o.warn == nil || !o.isNew(repo.UID, content) {
		return
	}
	o.warn(repo, fmt.Sprintf("Secret %q has the deprecated keys %s: use tls.crt, tls.key and ca.crt in place of certFile, keyFile and caFile",
		secret.Name, strings.Join(keys, ", ")))
}

// isNew records the content that an object was warned about, and reports whether
// it is new.
func (o *oldKeys) isNew(object types.UID, content string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.warned[object] == content {
		return false
	}
	if len(o.warned) >= maxWarned {
		clear(o.warned)
	}
	o.warned[object] = content
	return true
}
