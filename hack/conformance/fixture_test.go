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

// team is a namespace with an image repository, and a folder with the keys and
// files of those who sign the images.
type team struct {
	*WithT
	t         *testing.T
	namespace string
	dir       string
	registry  *testenv.Registry
}

// newTeam returns a team whose images are in the registry that all share, which is
// CNCF Distribution and has no API for referrers.
func newTeam(t *testing.T) *team {
	t.Helper()
	s := &team{WithT: NewWithT(t), t: t, namespace: newNamespace(t, "signed-"), dir: t.TempDir(), registry: cluster.registry}
	s.SetDefaultEventuallyTimeout(30 * time.Second)
	return s
}

// withReferrers gives the team a registry of its own that has the API for
// referrers.
func (s *team) withReferrers() *team {
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	s.t.Cleanup(server.Close)
	s.registry = testenv.RegistryAt(server.Listener.Addr().String(), "", "")
	return s
}

// repository is the path in the registry, and image the full name.
func (s *team) repository() string { return s.namespace + "/app" }
func (s *team) image() string      { return s.registry.Image(s.repository()) }

// push pushes an image that no other is equal to, and returns its digest.
func (s *team) push(tag string) string {
	s.t.Helper()
	image, err := testenv.Image("content of " + tag)
	s.Expect(err).NotTo(HaveOccurred())
	digest, err := s.registry.Push(s.t.Context(), s.repository()+":"+tag, image)
	s.Expect(err).NotTo(HaveOccurred())
	return digest
}

// index is an index of two images.
type index struct {
	digest string
	images []string // their digests
}

// pushIndex pushes an index that no other is equal to.
func (s *team) pushIndex(tag string) index {
	s.t.Helper()
	made, err := testenv.Index("content of "+tag, "amd64", "arm64")
	s.Expect(err).NotTo(HaveOccurred())
	manifest, err := made.IndexManifest()
	s.Expect(err).NotTo(HaveOccurred())
	pushed := index{}
	for _, image := range manifest.Manifests {
		pushed.images = append(pushed.images, image.Digest.String())
	}
	pushed.digest, err = s.registry.Push(s.t.Context(), s.repository()+":"+tag, made)
	s.Expect(err).NotTo(HaveOccurred())
	return pushed
}

// retag has a tag point to what another reference of the repository points to.
func (s *team) retag(from, to string) {
	s.t.Helper()
	separator := ":"
	if strings.Contains(from, ":") {
		separator = "@"
	}
	s.Expect(s.registry.Retag(s.t.Context(), s.repository()+separator+from, s.repository()+":"+to)).Error().NotTo(HaveOccurred())
}

// tags are the tags that the registry has, those of signatures included.
func (s *team) tags() []string {
	s.t.Helper()
	tags, err := crane.ListTags(s.registry.Image(s.repository()), crane.WithContext(s.t.Context()), crane.Insecure)
	s.Expect(err).NotTo(HaveOccurred())
	return tags
}

// write writes a file into the folder of the team.
func (s *team) write(name, content string) {
	s.t.Helper()
	s.Expect(os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600)).To(Succeed())
}

// policy creates the ImageRepository and an ImagePolicy of it that demands a
// signature by NAME.pub. It selects versions only, so that no tag that a signature
// is kept under is ever a candidate.
func (s *team) policy(key string) *v1.ImagePolicy {
	s.t.Helper()
	public, err := os.ReadFile(filepath.Join(s.dir, key+".pub"))
	s.Expect(err).NotTo(HaveOccurred())
	object := metav1.ObjectMeta{Namespace: s.namespace, Name: "app"}
	policy := &v1.ImagePolicy{ObjectMeta: object, Spec: v1.ImagePolicySpec{
		ImageRepositoryRef:     meta.NamespacedObjectReference{Name: "app"},
		Policy:                 v1.ImagePolicyChoice{SemVer: &v1.SemVerPolicy{Range: ">=1.0.0"}},
		DigestReflectionPolicy: v1.ReflectIfNotPresent,
		Verify:                 &v1.ImageVerification{Provider: v1.VerifyCosign, SecretRef: &meta.LocalObjectReference{Name: "app"}},
	}}
	for _, object := range []client.Object{
		&corev1.Secret{ObjectMeta: object, Data: map[string][]byte{"cosign.pub": public}},
		&v1.ImageRepository{ObjectMeta: object, Spec: v1.ImageRepositorySpec{
			Image: s.image(), Interval: metav1.Duration{Duration: time.Hour}, Insecure: true,
		}},
		policy,
	} {
		s.Expect(cluster.admin.Create(s.t.Context(), object)).To(Succeed())
	}
	return policy
}

// only has the policy accept one tag, and waits until it was reconciled.
func (s *team) only(policy *v1.ImagePolicy, tag string, ready metav1.ConditionStatus, reason string) {
	s.t.Helper()
	before := policy.DeepCopy()
	policy.Spec.Policy.SemVer.Range = tag
	s.Expect(cluster.admin.Patch(s.t.Context(), policy, client.MergeFrom(before))).To(Succeed())
	s.settled(policy, ready, reason)
}

// settled waits until the policy was reconciled as it is now, and is ready or not.
func (s *team) settled(policy *v1.ImagePolicy, ready metav1.ConditionStatus, reason string) {
	s.t.Helper()
	s.Eventually(func(g Gomega) {
		g.Expect(cluster.admin.Get(s.t.Context(), client.ObjectKeyFromObject(policy), policy)).To(Succeed())
		condition := apimeta.FindStatusCondition(policy.Status.Conditions, meta.ReadyCondition)
		g.Expect(condition).To(HaveValue(And(HaveField("Status", ready), HaveField("Reason", reason),
			HaveField("ObservedGeneration", policy.Generation))))
	}).Should(Succeed(), "waiting for Ready=%s", ready)
}

// selects expects that a policy by a key selects a tag with a digest, and that it
// rejects the candidates before that for these reasons, the best one first.
func (s *team) selects(key, tag, digest string, rejected ...string) *v1.ImagePolicy {
	s.t.Helper()
	policy := s.policy(key)
	s.settled(policy, metav1.ConditionTrue, meta.SucceededReason)
	s.Expect(policy.Status.LatestRef).To(HaveValue(And(HaveField("Tag", tag), HaveField("Digest", digest))), "%+v", policy.Status.Candidates)
	s.Expect(verdicts(policy)).To(Equal(append(rejected, tag+" Passed: signed by key \"cosign.pub\"")))
	s.Expect(s.condition(policy, v1.SourceVerifiedCondition)).To(Equal(
		fmt.Sprintf("True Succeeded %s@%s is verified: signed by key \"cosign.pub\"", tag, digest)))
	return policy
}

// verdicts are what became of the candidates, the best one first.
func verdicts(policy *v1.ImagePolicy) []string {
	var all []string
	for _, c := range policy.Status.Candidates {
		all = append(all, fmt.Sprintf("%s %s: %s", c.Tag, c.Verdict, c.Message))
	}
	return all
}

// condition returns a condition as "STATUS REASON MESSAGE".
func (s *team) condition(policy *v1.ImagePolicy, kind string) string {
	s.t.Helper()
	c := apimeta.FindStatusCondition(policy.Status.Conditions, kind)
	s.Expect(c).NotTo(BeNil(), kind)
	return fmt.Sprintf("%s %s %s", c.Status, c.Reason, c.Message)
}

// events are the messages of the events about a policy, each after its type.
func (s *team) events(policy *v1.ImagePolicy) []string {
	s.t.Helper()
	list := &corev1.EventList{}
	s.Expect(cluster.admin.List(s.t.Context(), list, client.InNamespace(s.namespace))).To(Succeed())
	var all []string
	for _, event := range list.Items {
		if event.InvolvedObject.UID == policy.UID {
			all = append(all, event.Type+" "+event.Message)
		}
	}
	return all
}

// explain returns what the command explain prints of the policy, with its gates
// run anew. It fails where nothing is selected, as the command documents.
func (s *team) explain(policy *v1.ImagePolicy) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), cluster.controller, "explain", policy.Name, "--namespace="+s.namespace, "--gates")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+cluster.kubeconfig)
	output, err := cmd.Output()
	s.Expect(cmd.ProcessState.ExitCode()).To(BeElementOf(0, 1), "%v", err)
	return string(output)
}
