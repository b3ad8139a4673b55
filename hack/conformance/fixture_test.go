// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// fixture is a namespace with an image repository, and a folder with the keys and files for signing
// its images.
type fixture struct {
	*WithT
	t         *testing.T
	namespace string
	dir       string
	registry  *testenv.Registry
	// attestations are required by the policy.
	attestations []v1.AttestationRequirement
}

// newFixture returns a fixture whose images are in the shared registry, a CNCF Distribution without
// the referrers API.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	fx := &fixture{WithT: NewWithT(t), t: t, namespace: newNamespace(t, "signed-"), dir: t.TempDir(), registry: cluster.registry}
	fx.SetDefaultEventuallyTimeout(30 * time.Second)
	return fx
}

// withReferrers gives the fixture its own registry, which supports the referrers API.
func (fx *fixture) withReferrers() *fixture {
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	fx.t.Cleanup(server.Close)
	fx.registry = testenv.RegistryAt(server.Listener.Addr().String(), "", "")
	return fx
}

// repository is the path in the registry, and image the full name.
func (fx *fixture) repository() string { return fx.namespace + "/app" }
func (fx *fixture) image() string      { return fx.registry.Image(fx.repository()) }

// push pushes an image with a unique digest, and returns the digest.
func (fx *fixture) push(tag string) string {
	fx.t.Helper()
	image, err := testenv.Image("content of " + tag)
	fx.Expect(err).NotTo(HaveOccurred())
	digest, err := fx.registry.Push(fx.t.Context(), fx.repository()+":"+tag, image)
	fx.Expect(err).NotTo(HaveOccurred())
	return digest
}

// index is an index of two images.
type index struct {
	digest string
	images []string // their digests
}

// pushIndex pushes an index with a unique digest.
func (fx *fixture) pushIndex(tag string) index {
	fx.t.Helper()
	artifact, err := testenv.Index("content of "+tag, "amd64", "arm64")
	fx.Expect(err).NotTo(HaveOccurred())
	manifest, err := artifact.IndexManifest()
	fx.Expect(err).NotTo(HaveOccurred())
	pushed := index{}
	for _, image := range manifest.Manifests {
		pushed.images = append(pushed.images, image.Digest.String())
	}
	pushed.digest, err = fx.registry.Push(fx.t.Context(), fx.repository()+":"+tag, artifact)
	fx.Expect(err).NotTo(HaveOccurred())
	return pushed
}

// retag moves a tag to the image of another tag or digest of the repository.
func (fx *fixture) retag(from, to string) {
	fx.t.Helper()
	separator := ":"
	if strings.Contains(from, ":") {
		separator = "@"
	}
	fx.Expect(fx.registry.Retag(fx.t.Context(), fx.repository()+separator+from, fx.repository()+":"+to)).Error().NotTo(HaveOccurred())
}

// tags returns the tags in the registry, including those of signatures.
func (fx *fixture) tags() []string {
	fx.t.Helper()
	tags, err := crane.ListTags(fx.registry.Image(fx.repository()), crane.WithContext(fx.t.Context()), crane.Insecure)
	fx.Expect(err).NotTo(HaveOccurred())
	return tags
}

// write writes a file into the folder of the fixture.
func (fx *fixture) write(name, content string) {
	fx.t.Helper()
	fx.Expect(os.WriteFile(filepath.Join(fx.dir, name), []byte(content), 0o600)).To(Succeed())
}

// policy creates an ImageRepository and an ImagePolicy that requires a signature by the key
// NAME.pub. It selects versions only, so that tags of signatures are not candidates.
func (fx *fixture) policy(key string) *v1.ImagePolicy {
	fx.t.Helper()
	public, err := os.ReadFile(filepath.Join(fx.dir, key+".pub"))
	fx.Expect(err).NotTo(HaveOccurred())
	object := metav1.ObjectMeta{Namespace: fx.namespace, Name: "app"}
	policy := &v1.ImagePolicy{ObjectMeta: object, Spec: v1.ImagePolicySpec{
		ImageRepositoryRef:     meta.NamespacedObjectReference{Name: "app"},
		Policy:                 v1.ImagePolicyChoice{SemVer: &v1.SemVerPolicy{Range: ">=1.0.0"}},
		DigestReflectionPolicy: v1.ReflectIfNotPresent,
		Verify: &v1.ImageVerification{
			Provider: v1.VerifyCosign, SecretRef: &meta.LocalObjectReference{Name: "app"}, Attestations: fx.attestations,
		},
	}}
	for _, object := range []client.Object{
		&corev1.Secret{ObjectMeta: object, Data: map[string][]byte{"cosign.pub": public}},
		&v1.ImageRepository{ObjectMeta: object, Spec: v1.ImageRepositorySpec{
			Image: fx.image(), Interval: metav1.Duration{Duration: time.Hour}, Insecure: true,
		}},
		policy,
	} {
		fx.Expect(cluster.admin.Create(fx.t.Context(), object)).To(Succeed())
	}
	return policy
}

// only changes the policy so that it accepts only one tag, and waits until it is reconciled.
func (fx *fixture) only(policy *v1.ImagePolicy, tag string, ready metav1.ConditionStatus, reason string) {
	fx.t.Helper()
	original := policy.DeepCopy()
	policy.Spec.Policy.SemVer.Range = tag
	fx.Expect(cluster.admin.Patch(fx.t.Context(), policy, client.MergeFrom(original))).To(Succeed())
	fx.awaitReady(policy, ready, reason)
}

// awaitReady waits until the current generation of the policy has this Ready condition.
func (fx *fixture) awaitReady(policy *v1.ImagePolicy, ready metav1.ConditionStatus, reason string) {
	fx.t.Helper()
	fx.Eventually(func(g Gomega) {
		g.Expect(cluster.admin.Get(fx.t.Context(), client.ObjectKeyFromObject(policy), policy)).To(Succeed())
		condition := apimeta.FindStatusCondition(policy.Status.Conditions, meta.ReadyCondition)
		g.Expect(condition).To(HaveValue(And(HaveField("Status", ready), HaveField("Reason", reason),
			HaveField("ObservedGeneration", policy.Generation))))
	}).Should(Succeed(), "waiting for Ready=%s", ready)
}

// expectSelected creates a policy for a key, and expects that it selects the tag with the digest
// after rejecting the given candidates, the best one first.
func (fx *fixture) expectSelected(key, tag, digest string, rejected ...string) *v1.ImagePolicy {
	fx.t.Helper()
	policy := fx.policy(key)
	fx.awaitReady(policy, metav1.ConditionTrue, meta.SucceededReason)
	fx.Expect(policy.Status.LatestRef).To(HaveValue(And(HaveField("Tag", tag), HaveField("Digest", digest))), "%+v", policy.Status.Candidates)
	fx.Expect(verdicts(policy)).To(Equal(append(rejected, tag+" Passed: signed by key \"cosign.pub\"")))
	fx.Expect(fx.condition(policy, v1.SourceVerifiedCondition)).To(Equal(
		fmt.Sprintf("True Succeeded %s@%s is verified: signed by key \"cosign.pub\"", tag, digest)))
	return policy
}

// verdicts returns "TAG VERDICT: MESSAGE" for each candidate, the best one first.
func verdicts(policy *v1.ImagePolicy) []string {
	var all []string
	for _, c := range policy.Status.Candidates {
		all = append(all, fmt.Sprintf("%s %s: %s", c.Tag, c.Verdict, c.Message))
	}
	return all
}

// condition returns "STATUS REASON MESSAGE" of a condition.
func (fx *fixture) condition(policy *v1.ImagePolicy, kind string) string {
	fx.t.Helper()
	c := apimeta.FindStatusCondition(policy.Status.Conditions, kind)
	fx.Expect(c).NotTo(BeNil(), kind)
	return fmt.Sprintf("%s %s %s", c.Status, c.Reason, c.Message)
}

// events returns "TYPE MESSAGE" for each event of a policy.
func (fx *fixture) events(policy *v1.ImagePolicy) []string {
	fx.t.Helper()
	list := &corev1.EventList{}
	fx.Expect(cluster.admin.List(fx.t.Context(), list, client.InNamespace(fx.namespace))).To(Succeed())
	var all []string
	for _, event := range list.Items {
		if event.InvolvedObject.UID == policy.UID {
			all = append(all, event.Type+" "+event.Message)
		}
	}
	return all
}

// explain returns the output of the command explain --gates for the policy. The command exits with
// 1 if no image is selected.
func (fx *fixture) explain(policy *v1.ImagePolicy) string {
	fx.t.Helper()
	cmd := exec.CommandContext(fx.t.Context(), cluster.controller, "explain", policy.Name, "--namespace="+fx.namespace, "--gates")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+cluster.kubeconfig)
	output, err := cmd.Output()
	fx.Expect(cmd.ProcessState.ExitCode()).To(BeElementOf(0, 1), "%v", err)
	return string(output)
}
