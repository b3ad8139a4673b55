// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/testenv"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
)

func TestAccessFrom_AllowsSelectedNamespaces(t *testing.T) {
	s := newScene(t)
	s.pushTags("app", "1.0.0")
	repo := s.repository("app")
	ready(s, repo)
	tenant := s.newNamespace(map[string]string{"team": "a"})
	policy := s.policy("app", func(p *v1.ImagePolicy) {
		p.Namespace, p.Spec.ImageRepositoryRef.Namespace = tenant, s.namespace
	})
	notReady(s, policy, acl.AccessDeniedReason, "no namespace selector of its spec.accessFrom matches")
	s.Expect(s.explainedAccess(policy)).To(ContainSubstring("does not admit namespace '" + tenant + "': the controller refuses this policy"))

	edit(s, repo, func(r *v1.ImageRepository) {
		r.Spec.AccessFrom = &acl.AccessFrom{NamespaceSelectors: []acl.NamespaceSelector{{MatchLabels: map[string]string{"team": "b"}}}}
	})
	notReady(s, policy, acl.AccessDeniedReason, "no namespace selector")

	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tenant}}
	edit(s, namespace, func(n *corev1.Namespace) { n.Labels["team"] = "b" })
	latest := ready(s, policy).Status.LatestRef
	s.Expect(latest.Tag).To(Equal("1.0.0"))
	s.Expect(s.explainedAccess(policy)).To(ContainSubstring("admits namespace '" + tenant + "', unless"))

	edit(s, namespace, func(n *corev1.Namespace) { n.Labels["team"] = "c" })
	notReady(s, policy, acl.AccessDeniedReason, "no namespace selector")
	expectRefs(s, policy, latest, nil)
}

// explainedAccess is what explain says of the access of a policy, which it does not
// enforce: RBAC let the user read both objects.
func (s *scene) explainedAccess(policy *v1.ImagePolicy) string {
	s.t.Helper()
	got := s.explained(policy)
	s.Expect(got.Selected.Tag).To(Equal("1.0.0"))
	i := slices.IndexFunc(got.Notes, func(note explain.Note) bool { return note.Reason == explain.NoteAccess })
	s.Expect(i).To(BeNumerically(">=", 0))
	return got.Notes[i].Message
}

func TestNoCrossNamespaceRefs_DeniesAccess(t *testing.T) {
	s := newScene(t, "--no-cross-namespace-refs=true")
	s.pushTags("app", "1.0.0")
	ready(s, s.repository("app", func(r *v1.ImageRepository) {
		r.Spec.AccessFrom = &acl.AccessFrom{NamespaceSelectors: []acl.NamespaceSelector{{}}}
	}))
	policy := s.policy("app", func(p *v1.ImagePolicy) {
		p.Namespace, p.Spec.ImageRepositoryRef.Namespace = s.newNamespace(nil), s.namespace
	})
	notReady(s, policy, acl.AccessDeniedReason, "references to other namespaces are disabled")
	ready(s, s.policy("app"))
}

// TestImageRepository_KeepsTagsPerObject shows that tags belong to an object, not to an image.
func TestImageRepository_KeepsTagsPerObject(t *testing.T) {
	s := newScene(t)
	s.pushTags("app", "1.0.0", "1.1.0")
	for name, excluded := range map[string]string{"one": "^1.1", "two": "^1.0"} {
		s.repository(name, func(r *v1.ImageRepository) {
			r.Spec.Image, r.Spec.ExclusionList = s.image("app"), []string{excluded}
		})
	}
	s.Expect(ready(s, s.policy("one")).Status.LatestRef.Tag).To(Equal("1.0.0"))
	s.Expect(ready(s, s.policy("two")).Status.LatestRef.Tag).To(Equal("1.1.0"))
}

func dockerConfig(s *scene, host, username, password string) map[string]string {
	s.t.Helper()
	config, err := json.Marshal(map[string]any{"auths": map[string]any{host: map[string]string{"username": username, "password": password}}})
	s.Expect(err).NotTo(HaveOccurred())
	return map[string]string{corev1.DockerConfigJsonKey: string(config)}
}

// secret creates a Secret, or replaces what it holds.
func (s *scene) secret(name string, kind corev1.SecretType, data map[string]string) *meta.LocalObjectReference {
	s.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Type: kind, StringData: data}
	if err := suite.api.Create(s.ctx, secret.DeepCopy()); err != nil {
		s.Expect(suite.api.Update(s.ctx, secret)).To(Succeed())
	}
	return &meta.LocalObjectReference{Name: name}
}

func TestCredentials_ComeFromSecretOrServiceAccount(t *testing.T) {
	s := newScene(t)
	private := s.privateRegistry()
	digest := s.pushTo(private, "org/app:1.0.0", "private")
	privateImage := func(r *v1.ImageRepository) { r.Spec.Image = private.Image("org/app") }

	anonymous := s.repository("anonymous", privateImage)
	notReady(s, anonymous, v1.AuthenticationFailedReason, "401")

	missing := s.repository("missing", privateImage, func(r *v1.ImageRepository) { r.Spec.SecretRef = &meta.LocalObjectReference{Name: "missing"} })
	notReady(s, missing, v1.AuthenticationFailedReason, "missing")
	with := func(secret *meta.LocalObjectReference) func(*v1.ImageRepository) {
		return func(r *v1.ImageRepository) { r.Spec.SecretRef = secret }
	}
	malformed := s.repository("malformed", privateImage, with(s.secret("malformed", corev1.SecretTypeOpaque, map[string]string{corev1.DockerConfigJsonKey: `{"auths": ` + secretPart})))
	notReady(s, malformed, v1.AuthenticationFailedReason, "malformed")

	wrong := s.repository("wrong", privateImage,
		with(s.secret("wrong", corev1.SecretTypeDockerConfigJson, dockerConfig(s, private.Host(), "robot", "wrong-"+secretPart))))
	notReady(s, wrong, v1.AuthenticationFailedReason, "401")

	right := s.secret("right", corev1.SecretTypeDockerConfigJson, dockerConfig(s, private.Host(), "robot", secretPart))
	ready(s, s.repository("secret", privateImage, with(right)))
	policy := s.policy("secret", reflecting(v1.ReflectAlways))
	s.Expect(ready(s, policy).Status.LatestRef.Digest).To(Equal(digest), "tags and digests go the same way")

	account := &corev1.ServiceAccount{
		ObjectMeta:       metav1.ObjectMeta{Namespace: s.namespace, Name: "puller"},
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "right"}},
	}
	s.Expect(suite.api.Create(s.ctx, account)).To(Succeed())
	ready(s, s.repository("account", privateImage, func(r *v1.ImageRepository) { r.Spec.ServiceAccountName = "puller" }))

	edit(s, missing, with(right))
	ready(s, missing)
}

// TestFlags_AcceptFluxInstallation starts the controller with the flags that such
// an installation passes, those for another storage included.
func TestFlags_AcceptFluxInstallation(t *testing.T) {
	s := newScene(t,
		"--events-addr=http://127.0.0.1:1", "--watch-all-namespaces=true", "--log-level=info", "--log-encoding=json",
		"--enable-leader-election", "--concurrent=8", "--kube-api-qps=50", "--kube-api-burst=100",
		"--interval-jitter-percentage=10", "--min-retry-delay=100ms", "--feature-gates=CacheSecretsAndConfigMaps=false,ObjectLevelWorkloadIdentity=true",
		"--leader-election-lease-duration=10s", "--leader-election-renew-deadline=5s", "--leader-election-retry-period=1s",
		"--storage-value-log-file-size=1024", "--gc-interval=10", "--aws-autologin-for-ecr", "--token-cache-max-size=10",
		"--default-service-account=default",
	)
	s.pushTags("app", "1.0.0")
	s.repository("app")
	started := time.Now()
	s.Expect(ready(s, s.policy("app")).Status.LatestRef.Tag).To(Equal("1.0.0"))
	s.Expect(time.Since(started)).To(BeNumerically("<", patience), "an events receiver that is down holds nothing up")
	log := testenv.Tail(s.controller.LogFile(), 1000)
	s.Expect(log).To(MatchRegexp(`"msg":"starting".*"version":"`), "the guide looks for that line")
	for _, flag := range []string{"storage-value-log-file-size", "gc-interval", "aws-autologin-for-ecr"} {
		s.Expect(log).To(ContainSubstring("the flag --" + flag + " is ignored"))
	}
}
