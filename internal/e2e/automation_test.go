// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	. "github.com/onsi/gomega"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/api/v1beta2"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// reading is what an image-automation-controller takes from a policy.
type reading struct{ name, tag, digest string }

func (r reading) image() string {
	if r.digest == "" {
		return r.name + ":" + r.tag
	}
	return r.name + ":" + r.tag + "@" + r.digest
}

// readers are the ways in which versions of it read, each with the list that it
// asks for.
var readers = map[string]struct {
	list client.ObjectList
	read func(runtime.Object) (reading, bool)
}{
	"v1":      {&v1.ImagePolicyList{}, func(o runtime.Object) (reading, bool) { return fromRef(o.(*v1.ImagePolicy).Status.LatestRef) }},
	"v1beta2": {&v1beta2.ImagePolicyList{}, func(o runtime.Object) (reading, bool) { return fromRef(o.(*v1beta2.ImagePolicy).Status.LatestRef) }},
	"v1beta2, before there were refs": {&v1beta2.ImagePolicyList{}, func(o runtime.Object) (reading, bool) {
		return fromText(o.(*v1beta2.ImagePolicy).Status.LatestImage)
	}},
	"v1beta2, when the ref had an image": {untypedList("v1beta2"), func(o runtime.Object) (reading, bool) { return fromFields(o, "image") }},
	"without types":                      {untypedList("v1"), func(o runtime.Object) (reading, bool) { return fromFields(o, "name") }},
}

func untypedList(version string) client.ObjectList {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(v1.GroupVersion.Group + "/" + version)
	list.SetKind("ImagePolicyList")
	return list
}

func fromRef(ref *v1.ImageRef) (reading, bool) {
	if ref == nil {
		return reading{}, false
	}
	return reading{ref.Name, ref.Tag, ref.Digest}, true
}

func fromFields(obj runtime.Object, nameField string) (reading, bool) {
	ref, found, err := unstructured.NestedStringMap(obj.(*unstructured.Unstructured).Object, "status", "latestRef")
	if err != nil || !found {
		return reading{}, false
	}
	return reading{ref[nameField], ref["tag"], ref["digest"]}, true
}

// fromText parses the way that versions did which knew a text only: whatever is
// before the tag is the name.
func fromText(text string) (reading, bool) {
	parsed, err := name.ParseReference(text, name.WeakValidation)
	if err != nil {
		return reading{}, false
	}
	tag := parsed.Identifier()
	return reading{name: strings.TrimSuffix(text, ":"+tag), tag: tag}, true
}

// readAll reads the policy "app" as each version does.
func (s *scene) readAll() map[string]reading {
	s.t.Helper()
	all := map[string]reading{}
	for how, reader := range readers {
		list := reader.list.DeepCopyObject().(client.ObjectList)
		s.Expect(suite.api.List(s.ctx, list, client.InNamespace(s.namespace), client.MatchingFields{"metadata.name": "app"})).To(Succeed())
		s.Expect(eachItem(list, func(o runtime.Object) {
			if r, ok := reader.read(o); ok {
				all[how] = r
			}
		})).To(Equal(1))
	}
	return all
}

// expectRead expects that all versions read the same, but that the oldest one
// knows no digests.
func (s *scene) expectRead(want reading) {
	s.t.Helper()
	for how, got := range s.readAll() {
		want := want
		if strings.Contains(how, "before") {
			want.digest = ""
		}
		s.Expect(got).To(Equal(want), how)
	}
	s.Expect(s.written(s.readAll()["v1"])).To(Equal(fmt.Sprintf("whole: %s\nname: %s\ntag: %s\ndigest: %s\nother: untouched # no marker\n",
		want.image(), want.name, want.tag, want.digest)))
}

// written is a manifest in which the markers of the policy were obeyed.
func (s *scene) written(r reading) string {
	values := map[string]string{"": r.image(), ":name": r.name, ":tag": r.tag, ":digest": r.digest}
	manifest := "whole: old:0 # {MARK}\nname: old # {MARK:name}\ntag: 0 # {MARK:tag}\ndigest: none # {MARK:digest}\nother: untouched # no marker\n"
	var b strings.Builder
	for line := range strings.Lines(manifest) {
		field, _, _ := strings.Cut(line, ":")
		_, mark, marked := strings.Cut(line, "{MARK")
		if value, known := values[strings.TrimSuffix(mark, "}\n")]; marked && known {
			line = field + ": " + value + "\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

func eachItem(list client.ObjectList, visit func(runtime.Object)) (int, error) {
	items := 0
	err := apimeta.EachListItem(list, func(o runtime.Object) error {
		items++
		visit(o)
		return nil
	})
	return items, err
}

// TestAutomationReadsTheLifeCycle leads a policy through all that its ref can be.
func TestAutomationReadsTheLifeCycle(t *testing.T) {
	s := newScene(t)
	policy := s.policy("app")
	notReady(s, policy, "DependencyNotReady", "not found")
	s.Expect(s.readAll()).To(BeEmpty(), "what selects nothing is left out")

	first := s.push("app", "1.0.0", "first")
	repo := s.repository("app")
	s.Expect(ready(s, policy).Status.LatestRef).NotTo(BeNil())
	s.expectRead(reading{s.image("app"), "1.0.0", ""})
	for _, reflection := range []v1.ReflectionPolicy{v1.ReflectIfNotPresent, v1.ReflectAlways} {
		edit(s, policy, reflecting(reflection))
		ready(s, policy)
		s.expectRead(reading{s.image("app"), "1.0.0", first})
	}
	second := s.push("app", "1.0.0", "second")
	request(s, policy)
	s.expectRead(reading{s.image("app"), "1.0.0", second})
	third := s.push("app", "1.1.0", "third")
	request(s, repo)
	s.Eventually(func() string { return refresh(s, policy).Status.LatestRef.Tag }).Should(Equal("1.1.0"))
	s.expectRead(reading{s.image("app"), "1.1.0", third})

	edit(s, repo, func(r *v1.ImageRepository) { r.Spec.Image = s.image("nothing") })
	notReady(s, repo, v1.ReadOperationFailedReason, "")
	s.expectRead(reading{s.image("app"), "1.1.0", third})
	edit(s, policy, reflecting(v1.ReflectNever))
	ready(s, policy)
	s.expectRead(reading{s.image("app"), "1.1.0", ""})
}

// sightings are what a watch told of the refs of policies.
type sightings struct {
	mu    sync.Mutex
	of    map[string][]reading // of each policy, without repetitions
	ended bool
}

// sight watches the scene's policies in one of the ways, until the test ends.
func (s *scene) sight(how string) *sightings {
	s.t.Helper()
	reader := readers[how]
	changes, err := suite.api.Watch(s.ctx, reader.list.DeepCopyObject().(client.ObjectList), client.InNamespace(s.namespace))
	s.Expect(err).NotTo(HaveOccurred())
	seen, done := &sightings{of: map[string][]reading{}}, make(chan struct{})
	go func() {
		defer close(done)
		for change := range changes.ResultChan() {
			seen.note(change, reader.read)
		}
		seen.mu.Lock()
		defer seen.mu.Unlock()
		seen.ended = true
	}()
	s.t.Cleanup(func() { changes.Stop(); <-done })
	return seen
}

func (n *sightings) note(change watch.Event, read func(runtime.Object) (reading, bool)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	policy, ok := change.Object.(client.Object)
	if !ok {
		return
	}
	now, ok := read(policy)
	if said := n.of[policy.GetName()]; ok && (len(said) == 0 || said[len(said)-1] != now) {
		n.of[policy.GetName()] = append(said, now)
	}
}

func (n *sightings) said(policy string) []reading {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]reading{}, n.of[policy]...)
}

// TestAutomationIsWokenOncePerMove shows that each move is one change of the ref
// in a watch, of the tag together with its digest.
func TestAutomationIsWokenOncePerMove(t *testing.T) {
	s := newScene(t)
	seen := map[string]*sightings{}
	for how := range readers {
		seen[how] = s.sight(how)
	}
	want := []reading{{s.image("app"), "1.0.0", s.push("app", "1.0.0", "0")}}
	repo, policy := s.repository("app"), s.policy("app", reflecting(v1.ReflectAlways))
	ready(s, policy)
	for i, tag := range []string{"1.0.0", "1.1.0", "1.1.0", "1.2.0", "2.0.0", "2.0.0"} {
		want = append(want, reading{s.image("app"), tag, s.push("app", tag, fmt.Sprint("content ", i))})
		request(s, repo)
		request(s, policy)
		s.Eventually(func() *v1.ImageRef { return refresh(s, policy).Status.LatestRef }).
			Should(Equal(image.NewRef(s.image("app"), tag, want[i+1].digest)))
	}
	edit(s, policy, reflecting(v1.ReflectNever))
	ready(s, policy)
	want = append(want, reading{s.image("app"), "2.0.0", ""})
	for how, n := range seen {
		want := want
		if strings.Contains(how, "before") {
			want = []reading{{s.image("app"), "1.0.0", ""}, {s.image("app"), "1.1.0", ""}, {s.image("app"), "1.2.0", ""}, {s.image("app"), "2.0.0", ""}}
		}
		s.Eventually(func() []reading { return n.said("app") }).Should(Equal(want), how)
		s.Expect(n.ended).To(BeFalse())
	}
}

// TestNoRefIsEverTorn pushes as fast as it can, and expects that each pair of a
// tag and a digest which any watch tells was one that the registry had.
func TestNoRefIsEverTorn(t *testing.T) {
	s := newScene(t)
	second := metav1.Duration{Duration: time.Second}
	seen := map[string]*sightings{}
	for how := range readers {
		seen[how] = s.sight(how)
	}
	held := map[reading]bool{} // that the registry had at some time
	push := func(tag, content string) string {
		artifact, err := stage.Image(content)
		s.Expect(err).NotTo(HaveOccurred())
		digest, err := artifact.Digest()
		s.Expect(err).NotTo(HaveOccurred())
		held[reading{s.image("app"), tag, digest.String()}], held[reading{s.image("app"), tag, ""}] = true, true
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
		s.Eventually(func() string { return last(n.said("always")).tag }).Should(Equal(tag), how)
		for policy := range policies {
			said := n.said(strings.ToLower(policy))
			s.Expect(said).NotTo(BeEmpty())
			for _, r := range said {
				s.Expect(held).To(HaveKey(r), "%s, %s", how, policy)
			}
		}
		s.Expect(n.ended).To(BeFalse())
	}
	s.Expect(len(seen["v1"].said("always"))).To(BeNumerically(">", 2), "there was something to see")
}

func last(said []reading) reading {
	if len(said) == 0 {
		return reading{}
	}
	return said[len(said)-1]
}
