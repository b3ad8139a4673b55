// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/api/v1beta2"
	"github.com/fluxcd/image-reflector-controller/hack/testenv"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// reader reads policies as a version of the image-automation-controller does: the list that it
// requests, and the ref that it reads from each policy.
type reader struct {
	list client.ObjectList
	read func(client.Object) *v1.ImageRef
}

var readers = map[string]reader{
	"v1":      {&v1.ImagePolicyList{}, func(o client.Object) *v1.ImageRef { return o.(*v1.ImagePolicy).Status.LatestRef }},
	"v1beta2": {&v1beta2.ImagePolicyList{}, func(o client.Object) *v1.ImageRef { return o.(*v1beta2.ImagePolicy).Status.LatestRef }},
	"v1beta2, latestImage": {&v1beta2.ImagePolicyList{}, func(o client.Object) *v1.ImageRef {
		return fromText(o.(*v1beta2.ImagePolicy).Status.LatestImage)
	}},
	"v1beta2, image of latestRef": {listOf(v1beta2.GroupVersion, v1.ImagePolicyKind), fromImageField},
}

func fromImageField(obj client.Object) *v1.ImageRef {
	ref, found, err := unstructured.NestedStringMap(obj.(*unstructured.Unstructured).Object, "status", "latestRef")
	if err != nil || !found {
		return nil
	}
	return image.NewRef(ref["image"], ref["tag"], ref["digest"])
}

// fromText parses latestImage as older versions do: everything before the tag is the name.
func fromText(text string) *v1.ImageRef {
	parsed, err := name.ParseReference(text, name.WeakValidation)
	if err != nil {
		return nil
	}
	tag := parsed.Identifier()
	return image.NewRef(strings.TrimSuffix(text, ":"+tag), tag, "")
}

// followAllPolicies watches the policies of the test with each reader.
func (f *fixture) followAllPolicies() map[string]*history {
	f.t.Helper()
	histories := map[string]*history{}
	for name, reader := range readers {
		histories[name] = f.followAs(reader)
	}
	return histories
}

// TestLatestRef_ChangesOncePerUpdate checks that each update changes tag and digest of the ref in
// one event of a watch.
func TestLatestRef_ChangesOncePerUpdate(t *testing.T) {
	f := newFixture(t)
	histories := f.followAllPolicies()
	want := []v1.ImageRef{*image.NewRef(f.image("app"), "1.0.0", f.push("app", "1.0.0", "0"))}
	repo, policy := f.repository("app"), f.policy("app", withReflection(v1.ReflectAlways))
	awaitReady(f, policy)
	for i, tag := range []string{"1.0.0", "1.1.0", "1.1.0", "1.2.0", "2.0.0", "2.0.0"} {
		want = append(want, *image.NewRef(f.image("app"), tag, f.push("app", tag, fmt.Sprint("content ", i))))
		requestReconcile(f, repo)
		requestReconcile(f, policy)
		f.Eventually(func() *v1.ImageRef { return refresh(f, policy).Status.LatestRef }).
			Should(Equal(&want[i+1]))
	}
	edit(f, policy, withReflection(v1.ReflectNever))
	awaitReady(f, policy)
	want = append(want, *image.NewRef(f.image("app"), "2.0.0", ""))
	for name, h := range histories {
		want := want
		if strings.Contains(name, "latestImage") {
			want = nil // latestImage has no digests
			for _, tag := range []string{"1.0.0", "1.1.0", "1.2.0", "2.0.0"} {
				want = append(want, *image.NewRef(f.image("app"), tag, ""))
			}
		}
		f.Eventually(func() []v1.ImageRef { return h.refsOf("app") }).Should(Equal(want), name)
		f.expectSteady(h)
	}
}

// TestLatestRef_IsAtomic pushes as fast as possible, and expects that the registry had each pair of
// tag and digest that a watch returns.
func TestLatestRef_IsAtomic(t *testing.T) {
	f := newFixture(t)
	second := metav1.Duration{Duration: time.Second}
	histories := f.followAllPolicies()
	pushed := map[v1.ImageRef]bool{} // every ref that the registry had
	push := func(tag, content string) string {
		artifact, err := testenv.Image(content)
		f.Expect(err).NotTo(HaveOccurred())
		digest, err := artifact.Digest()
		f.Expect(err).NotTo(HaveOccurred())
		pushed[*image.NewRef(f.image("app"), tag, digest.String())], pushed[*image.NewRef(f.image("app"), tag, "")] = true, true
		return f.push("app", tag, content)
	}
	push("1.0.0", "first")
	repo := f.repository("app", func(r *v1.ImageRepository) { r.Spec.Interval = second })
	policies := map[string]*v1.ImagePolicy{}
	for _, reflection := range []v1.ReflectionPolicy{v1.ReflectAlways, v1.ReflectIfNotPresent, v1.ReflectNever} {
		policies[string(reflection)] = f.policy(strings.ToLower(string(reflection)), withReflection(reflection), func(p *v1.ImagePolicy) {
			p.Spec.ImageRepositoryRef.Name = "app"
			if reflection == v1.ReflectAlways {
				p.Spec.Interval = &second
			}
		})
	}
	tag, latest := "", ""
	for i := range 60 {
		tag = fmt.Sprintf("1.%d.0", i/6)
		latest = push(tag, fmt.Sprint("content ", i))
		if i%20 == 0 {
			requestReconcile(f, repo)
		}
	}
	requestReconcile(f, repo)
	f.Eventually(func() *v1.ImageRef { return refresh(f, policies["Always"]).Status.LatestRef }).Should(Equal(image.NewRef(f.image("app"), tag, latest)))
	for name, h := range histories {
		f.Eventually(func() string { return h.lastTag("always") }).Should(Equal(tag), name)
		for policy := range policies {
			refs := h.refsOf(strings.ToLower(policy))
			f.Expect(refs).NotTo(BeEmpty())
			for _, r := range refs {
				f.Expect(pushed).To(HaveKey(r), "%s, %s", name, policy)
			}
		}
		f.expectSteady(h)
	}
	f.Expect(len(histories["v1"].refsOf("always"))).To(BeNumerically(">", 2), "the watch returned changes")
}
