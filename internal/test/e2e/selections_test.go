// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// deleteImage deletes an image of the registry, with the tags that point at it.
func (f *fixture) deleteImage(registry *testenv.Registry, repository, digest string) {
	f.t.Helper()
	options := []crane.Option{crane.WithContext(f.ctx), crane.Insecure}
	if registry.Username != "" {
		options = append(options, crane.WithAuth(&authn.Basic{Username: registry.Username, Password: registry.Password}))
	}
	f.Expect(crane.Delete(registry.Image(repository)+"@"+digest, options...)).To(Succeed())
}

// selections returns the tags and reasons in the history of a policy, newest first.
func selections(policy *v1.ImagePolicy) []string {
	var texts []string
	for _, e := range policy.Status.History {
		texts = append(texts, e.Tag+" "+string(e.Reason))
	}
	return texts
}

// awaitSelections waits for the newest entries of the history, and checks that it names the latest
// image. It returns the whole history.
func (f *fixture) awaitSelections(policy *v1.ImagePolicy, newest ...string) []v1.HistoryEntry {
	f.t.Helper()
	f.Eventually(func() []string {
		all := selections(refresh(f, policy))
		return all[:min(len(all), len(newest))]
	}).Should(Equal(newest))
	history := policy.Status.History
	f.Expect(history[0].IsOf(policy.Status.LatestRef)).To(BeTrue())
	f.Expect(history[0].SelectedAt.Time).To(BeTemporally("~", time.Now(), eventuallyTimeout))
	return history
}

// eventAnnotations returns the annotations of the events about an object, by message.
func (f *fixture) eventAnnotations(obj client.Object) map[string]map[string]string {
	f.t.Helper()
	list := &corev1.EventList{}
	f.Expect(suite.api.List(f.ctx, list, client.InNamespace(obj.GetNamespace()))).To(Succeed())
	found := map[string]map[string]string{}
	for _, event := range list.Items {
		if event.InvolvedObject.UID == obj.GetUID() {
			found[event.Message] = event.Annotations
		}
	}
	return found
}

// TestHistory_RecordsImagesAndReasons moves a policy in every way, restarts the controller, and
// goes back with the command that explain prints.
func TestHistory_RecordsImagesAndReasons(t *testing.T) {
	f := newFixture(t)
	first := f.push("app", "1.0.0", "first")
	repo, policy := f.repository("app"), f.policy("app", withReflection(v1.ReflectAlways))
	f.awaitSelections(policy, "1.0.0 Initial")

	moved := f.push("app", "1.0.0", "second")
	requestReconcile(f, policy)
	f.awaitSelections(policy, "1.0.0 DigestMoved", "1.0.0 Initial")
	f.Expect(policy.Status.History[1].Digest).To(Equal(first))

	newer := f.push("app", "1.1.0", "third")
	requestReconcile(f, repo)
	f.awaitSelections(policy, "1.1.0 NewTag")
	f.Eventually(func() map[string]map[string]string { return f.eventAnnotations(policy) }).Should(ContainElement(And(
		HaveKeyWithValue("image.toolkit.fluxcd.io/tag", "1.1.0"), HaveKeyWithValue("image.toolkit.fluxcd.io/reason", "NewTag"))))

	f.deleteImage(suite.registry, f.namespace+"/app", newer)
	requestReconcile(f, repo)
	f.awaitSelections(policy, "1.0.0 TagGone", "1.1.0 NewTag")
	f.Expect(policy.Status.History[0].Digest).To(Equal(moved))

	edit(f, policy, withReflection(v1.ReflectNever))
	f.awaitSelections(policy, "1.0.0 PolicyChanged")
	f.push("app2", "1.0.0", "another image")
	edit(f, repo, func(r *v1.ImageRepository) { r.Spec.Image = f.image("app2") })
	before := f.awaitSelections(policy, "1.0.0 ImageChanged")

	f.waitForIdle()
	f.Expect(f.controller.Stop()).To(Succeed())
	f.Expect(f.controller.Start(f.ctx)).To(Succeed())
	f.waitForIdle()
	f.Expect(refresh(f, policy).Status.History).To(Equal(before), "a restart changes nothing")
	f.push("app2", "1.2.0", "fifth")
	f.push("app2", "1.3.0", "sixth")
	requestReconcile(f, repo)
	f.Expect(f.awaitSelections(policy, "1.3.0 NewTag", "1.0.0 ImageChanged")[1:]).To(Equal(before))

	back := f.explain(policy, "--history").History.Rollback
	f.Expect(back.To.Tag).To(Equal("1.0.0"))
	f.Expect(back.Exclude).To(Equal([]string{"1.3.0", "1.2.0"}), "all tags that rank above, selected or not")
	f.run(back.Command)
	f.awaitSelections(policy, "1.0.0 PolicyChanged", "1.3.0 NewTag")
	forth := f.explain(policy, "--history").History.Rollback
	f.run(forth.Command)
	f.awaitSelections(policy, "1.3.0 PolicyChanged")
	f.Expect(len(policy.Status.History)).To(Equal(v1.MaxHistory-1), "%v", selections(policy))
}

// run runs a command in a shell, with kubectl in the PATH.
func (f *fixture) run(command string) {
	f.t.Helper()
	cmd := exec.CommandContext(f.ctx, "sh", "-c", command)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+suite.kubeconfig, "PATH="+suite.binaries.Assets+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	f.Expect(err).NotTo(HaveOccurred(), "%s", out)
}

// TestHistory_NamesPassedGate checks the reason of a tag that becomes old enough, and that the event
// has what its image states about the source code.
func TestHistory_NamesPassedGate(t *testing.T) {
	f := newFixture(t)
	f.push("app", "1.0.0", "old")
	repo := f.repository("app")
	policy := f.policy("app", withGates(func(spec *v1.ImagePolicySpec) {
		spec.MinimumAge, spec.Platforms = &metav1.Duration{Duration: 4 * time.Second}, []string{"linux/amd64"}
	}))
	f.awaitSelections(policy, "1.0.0 Initial")
	index, err := testenv.Index("labelled", "amd64")
	f.Expect(err).NotTo(HaveOccurred())
	annotated := mutate.Annotations(index, map[string]string{
		"org.opencontainers.image.revision": "4f6b2c0d1e3f5a7b9c8d0e1f2a3b4c5d6e7f8091",
		"org.opencontainers.image.source":   "https://github.com/org/app\x1b[31m",
	}).(testenv.Artifact)
	f.Expect(suite.registry.Push(f.ctx, f.namespace+"/app:1.1.0", annotated)).Error().NotTo(HaveOccurred())
	requestReconcile(f, repo)
	f.awaitSelections(policy, "1.1.0 GatePassed", "1.0.0 Initial")
	f.Eventually(func() map[string]map[string]string { return f.eventAnnotations(policy) }).Should(ContainElement(And(
		HaveKeyWithValue("image.toolkit.fluxcd.io/reason", "GatePassed"),
		HaveKeyWithValue("image.toolkit.fluxcd.io/revision", "4f6b2c0d1e3f5a7b9c8d0e1f2a3b4c5d6e7f8091"),
		HaveKeyWithValue("image.toolkit.fluxcd.io/source", "https://github.com/org/app[31m"))))
}

// TestHistory_BeginsWithoutAWrite checks that the status of another version of the controller is not
// written for its history, and that the next change costs what it did without a history.
func TestHistory_BeginsWithoutAWrite(t *testing.T) {
	f := newFixture(t)
	f.pushTags("app", "1.0.0")
	repo, policy := f.repository("app"), f.policy("app", withReflection(v1.ReflectIfNotPresent))
	awaitReady(f, policy)
	f.Expect(f.controller.Stop()).To(Succeed())
	before := policy.DeepCopy()
	policy.Status.History = nil
	f.Expect(suite.api.Status().Patch(f.ctx, policy, client.MergeFrom(before))).To(Succeed())
	version := refresh(f, policy).ResourceVersion
	f.Expect(f.controller.Start(f.ctx)).To(Succeed())
	f.waitForIdle()
	f.Expect(f.writes()).To(BeZero())
	f.Expect(refresh(f, policy).ResourceVersion).To(Equal(version))

	f.proxy.takeRequests("")
	f.push("app", "1.1.0", "newer")
	requestReconcile(f, repo)
	f.awaitSelected(policy, "1.1.0")
	f.waitForIdle()
	f.Eventually(f.writes).Should(Equal(4.0), "a status and an event of each object")
	f.Expect(f.proxy.takeRequests(f.namespace)).To(HaveLen(2), "the list and the digest")
	f.Expect(selections(policy)).To(Equal([]string{"1.1.0 NewTag", "1.0.0 "}))
	f.Expect(policy.Status.History[1].SelectedAt).To(BeNil())
}

// checkHistory moves a policy, whose history the guide shows.
func (f *fixture) checkHistory(private *testenv.Registry) {
	f.pushTo(private, "org/api:1.0.0", "api 1.0.0")
	repo := awaitReady(f, f.repository("api", func(r *v1.ImageRepository) {
		r.Spec.Image, r.Spec.SecretRef = private.Image("org/api"), &meta.LocalObjectReference{Name: "private"}
	}))
	policy := awaitReady(f, f.policy("api", withReflection(v1.ReflectAlways)))
	f.pushTo(private, "org/api:1.1.0", "api 1.1.0")
	requestReconcile(f, repo)
	f.awaitSelections(policy, "1.1.0 NewTag")
	bad := f.pushTo(private, "org/api:1.1.0", "api 1.1.0 again")
	requestReconcile(f, policy)
	f.awaitSelections(policy, "1.1.0 DigestMoved")
	f.deleteImage(private, "org/api", bad)
	requestReconcile(f, repo)
	f.awaitSelections(policy, "1.0.0 TagGone")
	for _, tag := range []string{"1.2.0", "1.2.1"} {
		f.pushTo(private, "org/api:"+tag, "api "+tag)
	}
	requestReconcile(f, repo)
	f.awaitSelections(policy, "1.2.1 NewTag")
	got := f.explain(policy, "--history", "--from-status")
	f.Expect(got.History.Entries).To(HaveLen(5))
	f.Expect(got.History.Rollback.Exclude).To(Equal([]string{"1.2.1", "1.2.0"}), "known from the status, which names all tags")
	f.Expect(got.Notes).To(BeEmpty())
}
