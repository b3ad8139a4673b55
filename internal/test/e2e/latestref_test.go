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

// reader is a way in which a version of the image-automation-controller reads
// policies: the list that it asks for, and the ref that it takes from each of them.
type reader struct {
	list client.ObjectList
	read func(client.Object) *v1.ImageRef
}

var readers = map[string]reader{
	"v1":      {&v1.ImagePolicyList{}, func(o client.Object) *v1.ImageRef { return o.(*v1.ImagePolicy).Status.LatestRef }},
	"v1beta2": {&v1beta2.ImagePolicyList{}, func(o client.Object) *v1.ImageRef { return o.(*v1beta2.ImagePolicy).Status.LatestRef }},
	"v1beta2, before there were refs": {&v1beta2.ImagePolicyList{}, func(o client.Object) *v1.ImageRef {
		return fromText(o.(*v1beta2.ImagePolicy).Status.LatestImage)
	}},
	"v1beta2, when the ref had an image": {listOf(v1beta2.GroupVersion, v1.ImagePolicyKind), fromImageField},
}

func fromImageField(obj client.Object) *v1.ImageRef {
	ref, found, err := unstructured.NestedStringMap(obj.(*unstructured.Unstructured).Object, "status", "latestRef")
	if err != nil || !found {
		return nil
	}
	return image.NewRef(ref["image"], ref["tag"], ref["digest"])
}

// fromText parses the way that versions did which knew a text only: whatever is
// before the tag is the name.
func fromText(text string) *v1.ImageRef {
	parsed, err := name.ParseReference(text, name.WeakValidation)
	if err != nil {
		return nil
	}
	tag := parsed.Identifier()
	return image.NewRef(strings.TrimSuffix(text, ":"+tag), tag, "")
}

// followAll follows the scene's policies in each of the ways.
func (s *scene) followAll() map[string]*history {
	s.t.Helper()
	all := map[string]*history{}
	for how, reader := range readers {
		all[how] = s.followAs(reader)
	}
	return all
}

// TestLatestRef_ChangesOncePerUpdate shows that each move is one change of the ref
// in a watch, of the tag together with its digest.
func TestLatestRef_ChangesOncePerUpdate(t *testing.T) {
	s := newScene(t)
	seen := s.followAll()
	want := []v1.ImageRef{*image.NewRef(s.image("app"), "1.0.0", s.push("app", "1.0.0", "0"))}
	repo, policy := s.repository("app"), s.policy("app", reflecting(v1.ReflectAlways))
	ready(s, policy)
	for i, tag := range []string{"1.0.0", "1.1.0", "1.1.0", "1.2.0", "2.0.0", "2.0.0"} {
		want = append(want, *image.NewRef(s.image("app"), tag, s.push("app", tag, fmt.Sprint("content ", i))))
		request(s, repo)
		request(s, policy)
		s.Eventually(func() *v1.ImageRef { return refresh(s, policy).Status.LatestRef }).
			Should(Equal(&want[i+1]))
	}
	edit(s, policy, reflecting(v1.ReflectNever))
	ready(s, policy)
	want = append(want, *image.NewRef(s.image("app"), "2.0.0", ""))
	for how, n := range seen {
		want := want
		if strings.Contains(how, "before") {
			want = nil // which knows no digests
			for _, tag := range []string{"1.0.0", "1.1.0", "1.2.0", "2.0.0"} {
				want = append(want, *image.NewRef(s.image("app"), tag, ""))
			}
		}
		s.Eventually(func() []v1.ImageRef { return n.of("app") }).Should(Equal(want), how)
		s.expectSteady(n)
	}
}

// TestLatestRef_IsAtomic pushes as fast as it can, and expects that each pair of a
// tag and a digest which any watch tells was one that the registry had.
func TestLatestRef_IsAtomic(t *testing.T) {
	s := newScene(t)
	second := metav1.Duration{Duration: time.Second}
	seen := s.followAll()
	held := map[v1.ImageRef]bool{} // that the registry had at some time
	push := func(tag, content string) string {
		artifact, err := testenv.Image(content)
		s.Expect(err).NotTo(HaveOccurred())
		digest, err := artifact.Digest()
		s.Expect(err).NotTo(HaveOccurred())
		held[*image.NewRef(s.image("app"), tag, digest.String())], held[*image.NewRef(s.image("app"), tag, "")] = true, true
		return s.push("app", tag, content)
	}
	push("1.0.0", "first")
	repo := s.repository("app", func(r *v1.ImageRepository) { r.Spec.Interval = second })
	policies := map[string]*v1.ImagePolicy{}
	for _, reflection := range []v1.ReflectionPolicy{v1.ReflectAlways, v1.ReflectIfNotPresent, v1.ReflectNever} {
		policies[string(reflection)] = s.policy(strings.ToLower(string(reflection)), reflecting(reflection), func(p *v1.ImagePolicy) {
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
			request(s, repo)
		}
	}
	request(s, repo)
	s.Eventually(func() *v1.ImageRef { return refresh(s, policies["Always"]).Status.LatestRef }).Should(Equal(image.NewRef(s.image("app"), tag, latest)))
	for how, n := range seen {
		s.Eventually(func() string { return n.last("always") }).Should(Equal(tag), how)
		for policy := range policies {
			said := n.of(strings.ToLower(policy))
			s.Expect(said).NotTo(BeEmpty())
			for _, r := range said {
				s.Expect(held).To(HaveKey(r), "%s, %s", how, policy)
			}
		}
		s.expectSteady(n)
	}
	s.Expect(len(seen["v1"].of("always"))).To(BeNumerically(">", 2), "there was something to see")
}
