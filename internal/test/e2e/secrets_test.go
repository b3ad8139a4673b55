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

// TestSecrets_DoNotLeakIfMisplaced has secrets in places where error messages like to quote.
// That none is told is found out after the run, as for all tests.
func TestSecrets_DoNotLeakIfMisplaced(t *testing.T) {
	s := newScene(t)
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
		ref := s.secret(name, corev1.SecretTypeOpaque, data)
		failing(s, s.repository(name, func(r *v1.ImageRepository) {
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

// TestSecrets_DoNotLeakIfQuotedByServer has a registry, its token server and a proxy quote
// whatever they are sent, where errors are made of it.
func TestSecrets_DoNotLeakIfQuotedByServer(t *testing.T) {
	s := newScene(t)
	registry := registrytest.Start(t, registrytest.WithTokenAuth("user", secretPart))
	registry.PushTags(t, "org/app", "1.0.0")
	login := s.secret("login", corev1.SecretTypeDockerConfigJson, dockerConfig(s, registry.Host(), "user", secretPart))
	proxy := proxytest.StartHTTP(t, proxytest.WithLogin("user", secretPart))
	through := s.secret("proxy", corev1.SecretTypeOpaque, map[string]string{"address": proxy.Address(), "username": "user", "password": secretPart})
	repo := s.repository("app", func(r *v1.ImageRepository) {
		r.Spec.Image, r.Spec.SecretRef, r.Spec.ProxySecretRef = registry.Image("org/app"), login, through
	})
	policy := s.policy("app", reflecting(v1.ReflectAlways))
	ready(s, repo)
	ready(s, policy)
	s.explained(policy)

	for _, kind := range []registrytest.Kind{registrytest.Any, registrytest.Tags, registrytest.Token} {
		for _, code := range []int{http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusInternalServerError, http.StatusOK} {
			registry.ExpireTokens()
			heal := registry.Inject(kind, quote(code))
			request(s, repo)
			failing(s, repo)
			if kind == registrytest.Tags {
				_, _ = s.cli("kubectl-imagepolicy", "explain", policy.Name, "-n", s.namespace)
			}
			heal()
		}
	}
	request(s, repo)
	ready(s, repo)
}

// failing waits until the repository is not ready, for whatever reason.
func failing(s *scene, repo *v1.ImageRepository) {
	s.t.Helper()
	s.Eventually(func() bool {
		return apimeta.IsStatusConditionFalse(refresh(s, repo).Status.Conditions, meta.ReadyCondition)
	}).Should(BeTrue(), repo.Name)
}

// quote answers with what was asked, wherever that can be put.
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
