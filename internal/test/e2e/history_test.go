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

// history records the statuses of the policies of a test.
type history struct {
	mu             sync.Mutex
	refs           map[string][]v1.ImageRef // the latest refs of each policy, oldest first
	becameNotReady []string                 // Ready conditions of policies that became not ready
	ready          map[string]bool
	ended          bool // whether the watch ended, so that changes may be missing
}

// follow watches the policies of the test until it ends.
func (f *fixture) follow() *history {
	f.t.Helper()
	return f.followAs(readers["v1"])
}

func (f *fixture) followAs(reader reader) *history {
	f.t.Helper()
	h := &history{refs: map[string][]v1.ImageRef{}, ready: map[string]bool{}}
	changes, err := suite.api.Watch(f.ctx, reader.list.DeepCopyObject().(client.ObjectList), client.InNamespace(f.namespace))
	f.Expect(err).NotTo(HaveOccurred())
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
	f.t.Cleanup(func() {
		changes.Stop()
		<-done
	})
	return h
}

func (h *history) note(policy client.Object, ref *v1.ImageRef) {
	h.mu.Lock()
	defer h.mu.Unlock()
	name := policy.GetName()
	if refs := h.refs[name]; ref != nil && (len(refs) == 0 || refs[len(refs)-1] != *ref) {
		h.refs[name] = append(refs, *ref)
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
		h.becameNotReady = append(h.becameNotReady, name+" "+ready.Reason+" "+ready.Message)
	}
}

// refsOf returns the refs of a policy, oldest first.
func (h *history) refsOf(policy string) []v1.ImageRef {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.refs[policy])
}

// tags returns the tags of a policy, oldest first.
func (h *history) tags(policy string) []string {
	var tags []string
	for _, ref := range h.refsOf(policy) {
		tags = append(tags, ref.Tag)
	}
	return tags
}

// lastTag returns the current tag of a policy; may be empty.
func (h *history) lastTag(policy string) string {
	tags := h.tags(policy)
	if len(tags) == 0 {
		return ""
	}
	return tags[len(tags)-1]
}

// expectSteady expects that no change was missed and that no policy became not ready.
func (f *fixture) expectSteady(h *history) {
	f.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	f.Expect(h.ended).To(BeFalse())
	f.Expect(h.becameNotReady).To(BeEmpty())
}

// eventCounts returns the number of events, by object and message.
func (f *fixture) eventCounts() map[string]int {
	f.t.Helper()
	list := &corev1.EventList{}
	f.Expect(suite.api.List(f.ctx, list, client.InNamespace(f.namespace))).To(Succeed())
	counts := map[string]int{}
	for _, event := range list.Items {
		key := event.InvolvedObject.Kind + " " + event.InvolvedObject.Name + ": " + event.Type + " " + event.Reason + " " + event.Message
		counts[key] += int(max(1, event.Count))
	}
	return counts
}
