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
	f := newFixture(t)
	f.pushTags("app", "1.0.0")
	repo := f.repository("app")
	awaitReady(f, repo)
	tenant := f.newNamespace(map[string]string{"team": "a"})
	policy := f.policy("app", func(p *v1.ImagePolicy) {
		p.Namespace, p.Spec.ImageRepositoryRef.Namespace = tenant, f.namespace
	})
	awaitNotReady(f, policy, acl.AccessDeniedReason, "no namespace selector of its spec.accessFrom matches")
	f.Expect(f.accessNote(policy)).To(ContainSubstring("does not admit namespace '" + tenant + "': the controller refuses this policy"))

	edit(f, repo, func(r *v1.ImageRepository) {
		r.Spec.AccessFrom = &acl.AccessFrom{NamespaceSelectors: []acl.NamespaceSelector{{MatchLabels: map[string]string{"team": "b"}}}}
	})
	awaitNotReady(f, policy, acl.AccessDeniedReason, "no namespace selector")

	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tenant}}
	edit(f, namespace, func(n *corev1.Namespace) { n.Labels["team"] = "b" })
	latest := awaitReady(f, policy).Status.LatestRef
	f.Expect(latest.Tag).To(Equal("1.0.0"))
	f.Expect(f.accessNote(policy)).To(ContainSubstring("admits namespace '" + tenant + "', unless"))

	edit(f, namespace, func(n *corev1.Namespace) { n.Labels["team"] = "c" })
	awaitNotReady(f, policy, acl.AccessDeniedReason, "no namespace selector")
	expectRefs(f, policy, latest, nil)
}

// accessNote returns the note of explain about the access of a policy. Explain does not enforce
// it, since RBAC lets the user read both objects.
func (f *fixture) accessNote(policy *v1.ImagePolicy) string {
	f.t.Helper()
	got := f.explain(policy)
	f.Expect(got.Selected.Tag).To(Equal("1.0.0"))
	i := slices.IndexFunc(got.Notes, func(note explain.Note) bool { return note.Reason == explain.NoteAccess })
	f.Expect(i).To(BeNumerically(">=", 0))
	return got.Notes[i].Message
}

func TestNoCrossNamespaceRefs_DeniesAccess(t *testing.T) {
	f := newFixture(t, "--no-cross-namespace-refs=true")
	f.pushTags("app", "1.0.0")
	awaitReady(f, f.repository("app", func(r *v1.ImageRepository) {
		r.Spec.AccessFrom = &acl.AccessFrom{NamespaceSelectors: []acl.NamespaceSelector{{}}}
	}))
	policy := f.policy("app", func(p *v1.ImagePolicy) {
		p.Namespace, p.Spec.ImageRepositoryRef.Namespace = f.newNamespace(nil), f.namespace
	})
	awaitNotReady(f, policy, acl.AccessDeniedReason, "references to other namespaces are disabled")
	awaitReady(f, f.policy("app"))
}

// TestImageRepository_KeepsTagsPerObject checks that tags are stored per object, not per image.
func TestImageRepository_KeepsTagsPerObject(t *testing.T) {
	f := newFixture(t)
	f.pushTags("app", "1.0.0", "1.1.0")
	for name, excluded := range map[string]string{"one": "^1.1", "two": "^1.0"} {
		f.repository(name, func(r *v1.ImageRepository) {
			r.Spec.Image, r.Spec.ExclusionList = f.image("app"), []string{excluded}
		})
	}
	f.Expect(awaitReady(f, f.policy("one")).Status.LatestRef.Tag).To(Equal("1.0.0"))
	f.Expect(awaitReady(f, f.policy("two")).Status.LatestRef.Tag).To(Equal("1.1.0"))
}

func dockerConfig(f *fixture, host, username, password string) map[string]string {
	f.t.Helper()
	config, err := json.Marshal(map[string]any{"auths": map[string]any{host: map[string]string{"username": username, "password": password}}})
	f.Expect(err).NotTo(HaveOccurred())
	return map[string]string{corev1.DockerConfigJsonKey: string(config)}
}

// secret creates a Secret or replaces its data.
func (f *fixture) secret(name string, kind corev1.SecretType, data map[string]string) *meta.LocalObjectReference {
	f.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name}, Type: kind, StringData: data}
	if err := suite.api.Create(f.ctx, secret.DeepCopy()); err != nil {
		f.Expect(suite.api.Update(f.ctx, secret)).To(Succeed())
	}
	return &meta.LocalObjectReference{Name: name}
}

func TestCredentials_ComeFromSecretOrServiceAccount(t *testing.T) {
	f := newFixture(t)
	private := f.privateRegistry()
	digest := f.pushTo(private, "org/app:1.0.0", "private")
	privateImage := func(r *v1.ImageRepository) { r.Spec.Image = private.Image("org/app") }

	anonymous := f.repository("anonymous", privateImage)
	awaitNotReady(f, anonymous, v1.AuthenticationFailedReason, "401")

	missing := f.repository("missing", privateImage, func(r *v1.ImageRepository) { r.Spec.SecretRef = &meta.LocalObjectReference{Name: "missing"} })
	awaitNotReady(f, missing, v1.AuthenticationFailedReason, "missing")
	withSecret := func(secret *meta.LocalObjectReference) func(*v1.ImageRepository) {
		return func(r *v1.ImageRepository) { r.Spec.SecretRef = secret }
	}
	malformed := f.repository("malformed", privateImage, withSecret(f.secret("malformed", corev1.SecretTypeOpaque, map[string]string{corev1.DockerConfigJsonKey: `{"auths": ` + secretPart})))
	awaitNotReady(f, malformed, v1.AuthenticationFailedReason, "malformed")

	wrong := f.repository("wrong", privateImage,
		withSecret(f.secret("wrong", corev1.SecretTypeDockerConfigJson, dockerConfig(f, private.Host(), "robot", "wrong-"+secretPart))))
	awaitNotReady(f, wrong, v1.AuthenticationFailedReason, "401")

	valid := f.secret("valid", corev1.SecretTypeDockerConfigJson, dockerConfig(f, private.Host(), "robot", secretPart))
	awaitReady(f, f.repository("secret", privateImage, withSecret(valid)))
	policy := f.policy("secret", withReflection(v1.ReflectAlways))
	f.Expect(awaitReady(f, policy).Status.LatestRef.Digest).To(Equal(digest), "digests use the same credentials as tags")

	account := &corev1.ServiceAccount{
		ObjectMeta:       metav1.ObjectMeta{Namespace: f.namespace, Name: "puller"},
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "valid"}},
	}
	f.Expect(suite.api.Create(f.ctx, account)).To(Succeed())
	awaitReady(f, f.repository("account", privateImage, func(r *v1.ImageRepository) { r.Spec.ServiceAccountName = "puller" }))

	edit(f, missing, withSecret(valid))
	awaitReady(f, missing)
}

// TestFlags_AcceptFluxInstallation starts the controller with the flags of a Flux installation,
// including those of its storage, which are ignored.
func TestFlags_AcceptFluxInstallation(t *testing.T) {
	f := newFixture(t,
		"--events-addr=http://127.0.0.1:1", "--watch-all-namespaces=true", "--log-level=info", "--log-encoding=json",
		"--enable-leader-election", "--concurrent=8", "--kube-api-qps=50", "--kube-api-burst=100",
		"--interval-jitter-percentage=10", "--min-retry-delay=100ms", "--feature-gates=CacheSecretsAndConfigMaps=false,ObjectLevelWorkloadIdentity=true",
		"--leader-election-lease-duration=10s", "--leader-election-renew-deadline=5s", "--leader-election-retry-period=1s",
		"--storage-value-log-file-size=1024", "--gc-interval=10", "--aws-autologin-for-ecr", "--token-cache-max-size=10",
		"--default-service-account=default",
	)
	f.pushTags("app", "1.0.0")
	f.repository("app")
	started := time.Now()
	f.Expect(awaitReady(f, f.policy("app")).Status.LatestRef.Tag).To(Equal("1.0.0"))
	f.Expect(time.Since(started)).To(BeNumerically("<", eventuallyTimeout), "an unreachable events receiver delays nothing")
	log := testenv.Tail(f.controller.LogFile(), 1000)
	f.Expect(log).To(MatchRegexp(`"msg":"starting".*"version":"`), "the line that docs/guides/drop-in.md refers to")
	for _, flag := range []string{"storage-value-log-file-size", "gc-interval", "aws-autologin-for-ecr"} {
		f.Expect(log).To(ContainSubstring("the flag --" + flag + " is ignored"))
	}
}
