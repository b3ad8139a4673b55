// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"slices"
	"sync"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// history is all that a scene's policies ever said.
type history struct {
	mu      sync.Mutex
	refs    map[string][]v1.ImageRef // each latest ref, in the order of time
	wavered []string                 // what those said that had been ready and were not any more
	ready   map[string]bool
	ended   bool // the watch, so that something may have been missed
}

// follow watches the scene's policies until the test ends.
func (s *scene) follow() *history {
	s.t.Helper()
	return s.followAs(readers["v1"])
}

func (s *scene) followAs(reader reader) *history {
	s.t.Helper()
	h := &history{refs: map[string][]v1.ImageRef{}, ready: map[string]bool{}}
	changes, err := suite.api.Watch(s.ctx, reader.list.DeepCopyObject().(client.ObjectList), client.InNamespace(s.namespace))
	s.Expect(err).NotTo(HaveOccurred())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for change := range changes.ResultChan() {
			if policy, ok := change.Object.(client.Object); ok {
				h.note(policy, reader.read(policy))
			}
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.ended = true
	}()
	s.t.Cleanup(func() {
		changes.Stop()
		<-done
	})
	return h
}

func (h *history) note(policy client.Object, ref *v1.ImageRef) {
	h.mu.Lock()
	defer h.mu.Unlock()
	name := policy.GetName()
	if said := h.refs[name]; ref != nil && (len(said) == 0 || said[len(said)-1] != *ref) {
		h.refs[name] = append(said, *ref)
	}
	typed, ok := policy.(object)
	if !ok {
		return
	}
	ready := apimeta.FindStatusCondition(typed.GetConditions(), meta.ReadyCondition)
	switch {
	case ready != nil && ready.Status == metav1.ConditionTrue:
		h.ready[name] = true
	case h.ready[name] && ready != nil:
		h.wavered = append(h.wavered, name+" "+ready.Reason+" "+ready.Message)
	}
}

// of returns the refs that a policy has had.
func (h *history) of(policy string) []v1.ImageRef {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.refs[policy])
}

// tags returns the tags that a policy has had.
func (h *history) tags(policy string) []string {
	var tags []string
	for _, ref := range h.of(policy) {
		tags = append(tags, ref.Tag)
	}
	return tags
}

// last returns the tag that a policy has had last, empty for none.
func (h *history) last(policy string) string {
	tags := h.tags(policy)
	if len(tags) == 0 {
		return ""
	}
	return tags[len(tags)-1]
}

// expectSteady expects that nothing was missed, and that no policy which was
// ready ceased to be.
func (s *scene) expectSteady(h *history) {
	s.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	s.Expect(h.ended).To(BeFalse())
	s.Expect(h.wavered).To(BeEmpty())
}

// told returns how often each event was told, by object and message.
func (s *scene) told() map[string]int {
	s.t.Helper()
	list := &corev1.EventList{}
	s.Expect(suite.api.List(s.ctx, list, client.InNamespace(s.namespace))).To(Succeed())
	told := map[string]int{}
	for _, event := range list.Items {
		key := event.InvolvedObject.Kind + " " + event.InvolvedObject.Name + ": " + event.Type + " " + event.Reason + " " + event.Message
		told[key] += int(max(1, event.Count))
	}
	return told
}
