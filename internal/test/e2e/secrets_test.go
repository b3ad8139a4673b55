// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/proxytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// TestSecrets_DoNotLeakIfMisplaced puts secrets where errors might quote them. The leak check after
// the run detects leaks, as for all tests.
func TestSecrets_DoNotLeakIfMisplaced(t *testing.T) {
	f := newFixture(t)
	registry := registrytest.Start(t, registrytest.WithTokenAuth("user", secretPart))
	registry.PushTags(t, "org/app", "1.0.0")
	host := registry.Host()
	config := func(entry string) map[string]string {
		return map[string]string{corev1.DockerConfigJsonKey: fmt.Sprintf(`{"auths":{%q:%s}}`, host, entry)}
	}
	for name, data := range map[string]map[string]string{
		"login-no-json":       {corev1.DockerConfigJsonKey: secretPart},
		"login-text-entry":    config(`"` + secretPart + `"`),
		"login-bad-auth":      config(`{"auth":"` + secretPart + `"}`),
		"login-no-colon":      config(`{"auth":"` + base64.StdEncoding.EncodeToString([]byte(secretPart)) + `"}`),
		"login-number":        config(`{"password":["` + secretPart + `"]}`),
		"login-name":          {corev1.DockerConfigJsonKey: fmt.Sprintf(`{"auths":{"user:%s@%s":{"auth":"x"},%q:{"auth":"!"}}}`, secretPart, host, host)},
		"login-other-key":     {"token": secretPart},
		"login-refused":       config(`{"username":"user","password":"wrong-` + secretPart + `"}`),
		"login-refused-token": config(`{"identitytoken":"wrong-` + secretPart + `"}`),
		"login-refused-pass":  config(`{"registrytoken":"wrong-` + secretPart + `"}`),
		"cert-no-pem":         {"tls.crt": secretPart, "tls.key": secretPart},
		"cert-bad-pem":        {"tls.crt": encode("CERTIFICATE", []byte(secretPart)), "tls.key": encode("PRIVATE KEY", []byte(secretPart))},
		"cert-swapped":        {"tls.crt": encode("PRIVATE KEY", []byte(secretPart)), "tls.key": encode("CERTIFICATE", []byte(secretPart))},
		"cert-key-as-ca":      {"ca.crt": encode("PRIVATE KEY", []byte(secretPart))},
		"cert-key-alone":      {"tls.key": encode("PRIVATE KEY", []byte(secretPart))},
		"proxy-userinfo":      {"address": "http://user:" + secretPart + "@127.0.0.1:1"},
		"proxy-bad-userinfo":  {"address": "http://user:" + secretPart + "@%zz"},
		"proxy-scheme":        {"address": secretPart + "://127.0.0.1"},
		"proxy-no-address":    {"password": secretPart},
		"proxy-swapped":       {"address": secretPart, "password": "http://127.0.0.1:1/" + secretPart},
	} {
		ref := f.secret(name, corev1.SecretTypeOpaque, data)
		awaitNotReadyForAnyReason(f, f.repository(name, func(r *v1.ImageRepository) {
			r.Spec.Image = registry.Image("org/app")
			switch name[:4] {
			case "cert":
				r.Spec.CertSecretRef = ref
			case "prox":
				r.Spec.ProxySecretRef = ref
			default:
				r.Spec.SecretRef = ref
			}
		}))
	}
}

// TestSecrets_DoNotLeakIfQuotedByServer has a registry and its token server return the credentials
// in error responses.
func TestSecrets_DoNotLeakIfQuotedByServer(t *testing.T) {
	f := newFixture(t)
	registry := registrytest.Start(t, registrytest.WithTokenAuth("user", secretPart))
	registry.PushTags(t, "org/app", "1.0.0")
	login := f.secret("login", corev1.SecretTypeDockerConfigJson, dockerConfig(f, registry.Host(), "user", secretPart))
	proxy := proxytest.StartHTTP(t, proxytest.WithLogin("user", secretPart))
	proxySecret := f.secret("proxy", corev1.SecretTypeOpaque, map[string]string{"address": proxy.Address(), "username": "user", "password": secretPart})
	repo := f.repository("app", func(r *v1.ImageRepository) {
		r.Spec.Image, r.Spec.SecretRef, r.Spec.ProxySecretRef = registry.Image("org/app"), login, proxySecret
	})
	policy := f.policy("app", withReflection(v1.ReflectAlways))
	awaitReady(f, repo)
	awaitReady(f, policy)
	f.explain(policy)

	for _, kind := range []registrytest.Kind{registrytest.Any, registrytest.Tags, registrytest.Token} {
		for _, code := range []int{http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusInternalServerError, http.StatusOK} {
			registry.ExpireTokens()
			recoverRegistry := registry.Inject(kind, quote(code))
			requestReconcile(f, repo)
			awaitNotReadyForAnyReason(f, repo)
			if kind == registrytest.Tags {
				_, _ = f.cli("kubectl-imagepolicy", "explain", policy.Name, "-n", f.namespace)
			}
			recoverRegistry()
		}
	}
	requestReconcile(f, repo)
	awaitReady(f, repo)
}

// awaitNotReadyForAnyReason waits until the repository is not ready, for any reason.
func awaitNotReadyForAnyReason(f *fixture, repo *v1.ImageRepository) {
	f.t.Helper()
	f.Eventually(func() bool {
		return apimeta.IsStatusConditionFalse(refresh(f, repo).Status.Conditions, meta.ReadyCondition)
	}).Should(BeTrue(), repo.Name)
}

// quote returns a response that repeats the credentials of the request in headers and body.
func quote(code int) registrytest.Fault {
	return func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		_ = req.ParseForm()
		text := fmt.Sprint(secretPart, req.Header.Get("Authorization"), req.Form.Encode())
		for _, header := range []string{"Www-Authenticate", "Link", "Warning", "Docker-Content-Digest", "Retry-After", "Content-Type", "Date"} {
			w.Header().Set(header, text)
		}
		w.Header().Set("Www-Authenticate", `Bearer realm="http://`+req.Host+`/token?`+text+`",service="`+text+`",error="`+text+`"`)
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"name":%q,"tags":%q,"errors":[{"code":%q,"message":%q,"detail":%q}]}`, text, text, text, text, text)
	}
}
