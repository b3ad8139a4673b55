// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
)

// cluster is a fake Kubernetes API with the Secrets and ServiceAccounts of the namespace "apps".
// It records the objects that are read.
type cluster struct {
	client.Reader
	secrets  map[string]*corev1.Secret
	accounts map[string]*corev1.ServiceAccount
	err      error
	read     []string
}

func (c *cluster) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	c.read = append(c.read, key.Name)
	if c.err != nil {
		return c.err
	}
	switch obj := obj.(type) {
	case *corev1.Secret:
		if secret := c.secrets[key.Name]; secret != nil && key.Namespace == "apps" {
			secret.DeepCopyInto(obj)
			return nil
		}
	case *corev1.ServiceAccount:
		if account := c.accounts[key.Name]; account != nil && key.Namespace == "apps" {
			account.DeepCopyInto(obj)
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "objects"}, key.Name)
}

// secret returns a Secret with one key.
func secret(name string, kind corev1.SecretType, key, value string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "apps"},
		Type:       kind,
		Data:       map[string][]byte{key: []byte(value)},
	}
}

// dockerSecret returns a Secret with credentials for one registry.
func dockerSecret(name, registry, username string) *corev1.Secret {
	config := fmt.Sprintf(`{"auths":{%q:{"username":%q,"password":%q}}}`, registry, username, canary)
	return secret(name, corev1.SecretTypeDockerConfigJson, corev1.DockerConfigJsonKey, config)
}

// newCluster returns a cluster with Secrets, and with ServiceAccounts that have them as pull
// secrets.
func newCluster(secrets []*corev1.Secret, accounts map[string][]string) *cluster {
	c := &cluster{secrets: map[string]*corev1.Secret{}, accounts: map[string]*corev1.ServiceAccount{}}
	for _, s := range secrets {
		c.secrets[s.Name] = s
	}
	for name, pullSecrets := range accounts {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "apps"}}
		for _, s := range pullSecrets {
			account.ImagePullSecrets = append(account.ImagePullSecrets, corev1.LocalObjectReference{Name: s})
		}
		c.accounts[name] = account
	}
	return c
}

// repository returns an ImageRepository in the namespace "apps".
func repository(change func(*v1.ImageRepositorySpec)) *v1.ImageRepository {
	repo := &v1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Name: "app", Namespace: "apps"}}
	repo.Spec.Image = "ghcr.io/org/app"
	change(&repo.Spec)
	return repo
}

func secretRef(name string) *meta.LocalObjectReference {
	return &meta.LocalObjectReference{Name: name}
}

func TestAuthOptions_ResolveCredentials(t *testing.T) {
	secrets := []*corev1.Secret{
		dockerSecret("ghcr", "ghcr.io", "host"),
		dockerSecret("ghcr-2", "ghcr.io", "host-2"),
		dockerSecret("org", "ghcr.io/org", "org"),
		dockerSecret("quay", "quay.io", "quay"),
		secret("legacy", corev1.SecretTypeDockercfg, corev1.DockerConfigKey, `{"ghcr.io":{"username":"legacy","password":"p"}}`),
		secret("opaque", corev1.SecretTypeOpaque, corev1.DockerConfigJsonKey, `{"auths":{"ghcr.io":{"username":"opaque","password":"p"}}}`),
	}
	accounts := map[string][]string{
		"none": nil, "one": {"ghcr"}, "several": {"quay", "ghcr", "org"}, "equal": {"ghcr-2", "ghcr"}, "old": {"legacy"}, "broken": {"missing"}, "partial": {"missing", "ghcr"}, "other": {"quay"},
	}
	cases := map[string]struct {
		reason       string
		spec         func(*v1.ImageRepositorySpec)
		wantUsername string // "" is anonymous
		wantOrigin   string
		wantRead     []string
	}{
		"Nothing":        {reason: "without references, nothing is read", spec: func(*v1.ImageRepositorySpec) {}, wantOrigin: "anonymous"},
		"SecretRef":      {reason: "the entry for the host", spec: func(s *v1.ImageRepositorySpec) { s.SecretRef = secretRef("ghcr") }, wantUsername: "host", wantOrigin: `Secret "ghcr"`, wantRead: []string{"ghcr"}},
		"NoEntry":        {reason: "anonymous, like docker, with the reason", spec: func(s *v1.ImageRepositorySpec) { s.SecretRef = secretRef("quay") }, wantOrigin: `no credentials for ghcr.io are in Secret "quay"`, wantRead: []string{"quay"}},
		"Opaque":         {reason: "the key matters, not the type", spec: func(s *v1.ImageRepositorySpec) { s.SecretRef = secretRef("opaque") }, wantUsername: "opaque", wantOrigin: `Secret "opaque"`, wantRead: []string{"opaque"}},
		"PullSecret":     {reason: "the pull secret of the account", spec: func(s *v1.ImageRepositorySpec) { s.ServiceAccountName = "one" }, wantUsername: "host", wantOrigin: `Secret "ghcr"`, wantRead: []string{"one", "ghcr"}},
		"Several":        {reason: "of several matches, the most specific one", spec: func(s *v1.ImageRepositorySpec) { s.ServiceAccountName = "several" }, wantUsername: "org", wantOrigin: `Secret "org"`, wantRead: []string{"several", "quay", "ghcr", "org"}},
		"Equal":          {reason: "of equal matches, the first one", spec: func(s *v1.ImageRepositorySpec) { s.ServiceAccountName = "equal" }, wantUsername: "host-2", wantOrigin: `Secret "ghcr-2"`, wantRead: []string{"equal", "ghcr-2", "ghcr"}},
		"Legacy":         {reason: "the older format", spec: func(s *v1.ImageRepositorySpec) { s.ServiceAccountName = "old" }, wantUsername: "legacy", wantOrigin: `Secret "legacy"`, wantRead: []string{"old", "legacy"}},
		"NoPullSecrets":  {reason: "anonymous, with the reason", spec: func(s *v1.ImageRepositorySpec) { s.ServiceAccountName = "none" }, wantOrigin: `ServiceAccount "none" has no pull secrets`, wantRead: []string{"none"}},
		"OneIsMissing":   {reason: "like the kubelet, a missing pull secret is ignored if another one has an entry", spec: func(s *v1.ImageRepositorySpec) { s.ServiceAccountName = "partial" }, wantUsername: "host", wantOrigin: `Secret "ghcr"`, wantRead: []string{"partial", "missing", "ghcr"}},
		"SecretRefFirst": {reason: "if the Secret has an entry, the account is not read, even if it has a better one", spec: func(s *v1.ImageRepositorySpec) { s.SecretRef, s.ServiceAccountName = secretRef("ghcr"), "several" }, wantUsername: "host", wantOrigin: `Secret "ghcr"`, wantRead: []string{"ghcr"}},
		"ThenAccount":    {reason: "if the Secret has no entry, the account is read", spec: func(s *v1.ImageRepositorySpec) { s.SecretRef, s.ServiceAccountName = secretRef("quay"), "one" }, wantUsername: "host", wantOrigin: `Secret "ghcr"`, wantRead: []string{"quay", "one", "ghcr"}},
		"NoEntries":      {reason: "the reason names the Secret", spec: func(s *v1.ImageRepositorySpec) { s.SecretRef, s.ServiceAccountName = secretRef("quay"), "other" }, wantOrigin: `no credentials for ghcr.io are in Secret "quay"`, wantRead: []string{"quay", "other"}},
		"Generic":        {reason: "the provider's default name", spec: func(s *v1.ImageRepositorySpec) { s.Provider = v1.ProviderGeneric }, wantOrigin: "anonymous"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c := newCluster(secrets, accounts)
			auth, err := NewAuthOptionsGetter(credentials.NewResolver(c)).AuthOptions(t.Context(), repository(tc.spec))
			g.Expect(err).NotTo(HaveOccurred(), tc.reason)
			config, err := auth.Authenticator().Authorization()
			if err != nil || config.Username != tc.wantUsername || auth.IsAnonymous() != (tc.wantUsername == "") {
				t.Errorf("%s: got username %q, error %v, want %q", tc.reason, config.Username, err, tc.wantUsername)
			}
			g.Expect(auth.String()).To(Equal(tc.wantOrigin), "%s: got origin %q", tc.reason, auth)
			g.Expect(c.read).To(BeComparableTo(tc.wantRead), "%s: objects read", tc.reason)
		})
	}
}

func TestAuthOptions_ErrorsNameObject(t *testing.T) {
	secrets := []*corev1.Secret{
		dockerSecret("quay", "quay.io", "quay"),
		secret("opaque", corev1.SecretTypeOpaque, "password", canary),
		secret("no-json", corev1.SecretTypeDockerConfigJson, corev1.DockerConfigJsonKey, canary),
		secret("array", corev1.SecretTypeDockerConfigJson, corev1.DockerConfigJsonKey, `{"auths":["`+canary+`"]}`),
		secret("bad-legacy", corev1.SecretTypeDockercfg, corev1.DockerConfigKey, `["`+canary+`"]`),
		secret("bad-entry", corev1.SecretTypeDockerConfigJson, corev1.DockerConfigJsonKey, `{"auths":{"ghcr.io":{"auth":"`+canary+`"}}}`),
	}
	accounts := map[string][]string{"broken": {"missing"}, "partial": {"missing", "quay"}}
	ref := func(name string) func(*v1.ImageRepositorySpec) {
		return func(s *v1.ImageRepositorySpec) { s.SecretRef = secretRef(name) }
	}
	cases := map[string]struct {
		reason     string
		spec       func(*v1.ImageRepositorySpec)
		err        error // of the Kubernetes API
		wantReason string
		wantIs     error
		words      []string
	}{
		"NoSecret":      {reason: "the Secret doesn't exist", spec: ref("missing"), words: []string{`Secret "missing" does not exist`}},
		"MissingPull":   {reason: "the missing pull secret may have the entry", spec: func(s *v1.ImageRepositorySpec) { s.ServiceAccountName = "partial" }, words: []string{`Secret "missing" does not exist`}},
		"NoKey":         {reason: "a Secret of another type", spec: ref("opaque"), words: []string{`Secret "opaque" has no key .dockerconfigjson`, `type "Opaque"`, "kubectl create secret docker-registry"}},
		"NoJSON":        {reason: "not JSON", spec: ref("no-json"), words: []string{`Secret "no-json"`, "not valid JSON"}},
		"OtherJSON":     {reason: "JSON of another type", spec: ref("array"), words: []string{`Secret "array"`, "not valid JSON of the expected form"}},
		"BadLegacy":     {reason: "the older format, malformed", spec: ref("bad-legacy"), words: []string{`Secret "bad-legacy"`}},
		"BadEntry":      {reason: "a broken entry for the registry", spec: ref("bad-entry"), words: []string{`Secret "bad-entry"`, "entry for the registry is malformed"}},
		"NoAccount":     {reason: "the account doesn't exist", spec: func(s *v1.ImageRepositorySpec) { s.ServiceAccountName = "missing" }, words: []string{`ServiceAccount "missing" does not exist`}},
		"NoPullSecret":  {reason: "the pull secret doesn't exist", spec: func(s *v1.ImageRepositorySpec) { s.ServiceAccountName = "broken" }, words: []string{`Secret "missing" does not exist`}},
		"Forbidden":     {reason: "the reason of the API is reported", spec: ref("x"), err: apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "x", errors.New("no")), words: []string{"answered Forbidden"}},
		"NoAPI":         {reason: "ports of the API are not reported", spec: ref("x"), err: errors.New("read tcp 127.0.0.1:43210->10.0.0.1:443: reset"), words: []string{"did not answer"}},
		"Deadline":      {reason: "the cause is wrapped", spec: ref("x"), err: context.DeadlineExceeded, wantIs: context.DeadlineExceeded},
		"Image":         {reason: "an invalid image", spec: func(s *v1.ImageRepositorySpec) { s.Image = "https://ghcr.io/org/app" }, wantReason: v1.ImageURLInvalidReason, words: []string{"scheme"}},
		"Cert":          {reason: "certificates must not be ignored", spec: func(s *v1.ImageRepositorySpec) { s.CertSecretRef = secretRef("missing") }, words: []string{`Secret "missing" does not exist`}},
		"Proxy":         {reason: "a proxy must not be ignored", spec: func(s *v1.ImageRepositorySpec) { s.ProxySecretRef = secretRef("missing") }, words: []string{`Secret "missing" does not exist`}},
		"CloudProvider": {reason: "must not be ignored without cloud support", spec: func(s *v1.ImageRepositorySpec) { s.Provider = "aws" }, words: []string{`spec.provider "aws" is not supported`}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := newCluster(secrets, accounts)
			c.err = tc.err
			_, err := NewAuthOptionsGetter(credentials.NewResolver(c)).AuthOptions(t.Context(), repository(tc.spec))
			reason := tc.wantReason
			if reason == "" {
				reason = v1.AuthenticationFailedReason
			}
			checkError(t, err, reason, tc.words...)
			if tc.wantIs != nil && !errors.Is(err, tc.wantIs) {
				t.Errorf("%s: got %v, want %v", tc.reason, err, tc.wantIs)
			}
		})
	}
}

func TestAnonymous_RefusalNamesReason(t *testing.T) {
	op := operation{verb: opListTags, image: parse(t, "ghcr.io/org/app"), auth: credentials.AnonymousBecause(`no credentials for ghcr.io are in Secret "quay"`)}
	got := op.describeRefusal("ghcr.io", "401 UNAUTHORIZED")
	want := `registry ghcr.io refused anonymous access (401 UNAUTHORIZED), and no credentials for ghcr.io are in Secret "quay"`
	NewWithT(t).Expect(got).To(Equal(want))
}
