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
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// findWay reads the Secrets that say by which way the registry is reached, and
// notes the way and where it came from.
func (s *search) findWay(ctx context.Context, way *AuthOptions) error {
	var fields []string
	if ref := s.repo.Spec.CertSecretRef; ref != nil {
		files, err := s.certificates(ctx, ref.Name, way)
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
			return s.op.failWay("spec.proxySecretRef", ref.Name, err)
		}
		way.route.proxy, way.proxyOrigin = proxy, fmt.Sprintf("Secret %q", ref.Name)
		fields = append(fields, "proxy", proxy.String())
	}
	if fields != nil {
		way.route.key = keyedHash(fields...)
	}
	return nil
}

// certificates reads the Secret of spec.certSecretRef.
func (s *search) certificates(ctx context.Context, name string, way *AuthOptions) (tlsFiles, error) {
	secret, err := s.secret(ctx, name)
	if err != nil {
		return tlsFiles{}, err
	}
	files := tlsFilesOf(secret)
	config, err := files.config(s.now())
	if err != nil {
		return tlsFiles{}, s.op.failWay("spec.certSecretRef", name, err)
	}
	if len(files.old) > 0 {
		s.oldKeys.found(s.repo, secret, files.old)
	}
	way.route.tls, way.certOrigin = config, fmt.Sprintf("Secret %q", name)
	return files, nil
}

// configure sets up a transport that nobody uses yet for the way.
func (r route) configure(t *http.Transport) {
	if r.tls != nil {
		t.TLSClientConfig = r.tls.Clone() // a transport changes it
	}
	if r.proxy != nil {
		t.Proxy = http.ProxyURL(r.proxy)
	}
	t.OnProxyConnectResponse = checkProxyAnswer
}

// checkProxyAnswer keeps the status with which a proxy refuses a connection.
func checkProxyAnswer(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return &proxyRefusedError{status: resp.StatusCode}
	}
	return nil
}

// maxTold bounds what is remembered of warnings. Beyond it they may be told
// once more.
const maxTold = 20_000

// oldKeys warns of Secrets that spell their keys in the older way: once for
// each object and content of a Secret.
type oldKeys struct {
	warn func(repo *v1.ImageRepository, message string) // nil warns nobody

	mu   sync.Mutex
	told map[types.UID]string // the Secret's content, by the object
}

func newOldKeys(warn func(*v1.ImageRepository, string)) *oldKeys {
	return &oldKeys{warn: warn, told: map[types.UID]string{}}
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

// isNew notes what an object is told about, and reports whether it is new.
func (o *oldKeys) isNew(object types.UID, content string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.told[object] == content {
		return false
	}
	if len(o.told) >= maxTold {
		clear(o.told)
	}
	o.told[object] = content
	return true
}
