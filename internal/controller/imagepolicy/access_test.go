// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"errors"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
)

// stranger lets the world's policy be one of another namespace.
func (w *fixture) stranger() {
	w.policy.Namespace, w.policy.Spec.ImageRepositoryRef.Namespace = "other", "ns"
}

// sharedWith lets policies of namespaces with a label use the world's
// repository.
func (w *fixture) sharedWith(team string) {
	w.repo.Spec.AccessFrom = &acl.AccessFrom{NamespaceSelectors: []acl.NamespaceSelector{{MatchLabels: map[string]string{"team": team}}}}
}

// TestAccess_HidesExistenceFromOtherNamespaces shows that whoever is not let in is told the
// same, in every field of the status, and as late, whether there is such an
// ImageRepository or not, and whatever its state.
func TestAccess_HidesExistenceFromOtherNamespaces(t *testing.T) {
	told := func(change func(*fixture)) (v1.ImagePolicyStatus, time.Duration) {
		w := newFixture(t)
		w.stranger()
		change(w)
		reader := newReader(t)
		if w.repo.Name == "app" {
			reader = newReader(t, w.repo)
		}
		w.policies.Reader, w.policies.Access.Reader = reader, reader
		if w.policies.Shard.Selector != nil {
			w.policies.Reader, w.policies.Shard.APIReader = newReader(t), reader
		}
		waiting, ok := errors.AsType[*conditions.WaitingError](w.settle())
		NewWithT(t).Expect(ok).To(BeTrue(), "got %v", waiting)
		NewWithT(t).Expect(waiting.Reason).To(Equal(acl.AccessDeniedReason), "got %v", waiting)
		for i := range w.policy.Status.Conditions {
			w.policy.Status.Conditions[i].LastTransitionTime = metav1.Time{}
		}
		return w.policy.Status, waiting.After
	}
	g := NewWithT(t)
	want, wantAfter := told(func(w *fixture) { w.repo.Name = "renamed" })
	g.Expect(want.Conditions).NotTo(BeEmpty())
	for name, change := range map[string]func(*fixture){
		"shares with nobody":         func(*fixture) {},
		"shares with another":        func(w *fixture) { w.sharedWith("a") },
		"shares with no selector":    func(w *fixture) { w.repo.Spec.AccessFrom = &acl.AccessFrom{} },
		"is suspended":               func(w *fixture) { w.repo.Spec.Suspend = true },
		"has an image that is wrong": func(w *fixture) { w.repo.Spec.Image = "ghcr.io/A b" },
		"fails": func(w *fixture) {
			w.repo.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionFalse, Message: "Secret \"theirs\""}}
		},
		"is in another shard": func(w *fixture) {
			w.repo.Labels, w.policies.Shard.Selector = labels.Set{"shard": "b"}, labels.SelectorFromSet(labels.Set{"shard": "a"})
		},
		"arrives in this shard": func(w *fixture) {
			w.repo.Labels, w.policies.Shard.Selector = labels.Set{"shard": "a"}, labels.SelectorFromSet(labels.Set{"shard": "a"})
		},
		"is nowhere in any shard": func(w *fixture) {
			w.repo.Name, w.policies.Shard.Selector = "renamed", labels.SelectorFromSet(labels.Set{"shard": "a"})
		},
	} {
		status, after := told(change)
		g.Expect(status).To(Equal(want), name)
		g.Expect(after).To(Equal(wantAfter), name)
	}
}

// TestAccess_ReportsOtherShardIfAllowed shows that what strangers don't learn is told
// those who are let in.
func TestAccess_ReportsOtherShardIfAllowed(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	w.stranger()
	w.sharedWith("b")
	w.repo.Labels = labels.Set{"shard": "b"}
	reader := newReader(t, w.repo)
	w.policies.Reader, w.policies.Access.Reader = newReader(t), reader
	w.policies.Shard = Shard{Selector: labels.SelectorFromSet(labels.Set{"shard": "a"}), APIReader: reader}
	waiting, ok := errors.AsType[*conditions.WaitingError](w.settle())
	g.Expect(ok).To(BeTrue())
	g.Expect(waiting.Error()).To(ContainSubstring("belongs to another controller than this ImagePolicy"))
}

// TestAccess_IsCheckedOnEverySelection shows that access counts at every selection: a
// policy that is no longer let in keeps what it had, and sees nothing newer.
func TestAccess_IsCheckedOnEverySelection(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	w.stranger()
	w.sharedWith("b")
	w.scanned(g, "1.0.0")
	g.Expect(w.settle()).To(Succeed())
	g.Expect(w.policy.Status.LatestRef.Tag).To(Equal("1.0.0"))

	w.repo.Spec.AccessFrom = nil
	w.scanned(g, "1.0.0", "1.1.0")
	g.Expect(w.settle()).To(HaveOccurred())
	g.Expect(w.policy.Status.LatestRef.Tag).To(Equal("1.0.0"))
	g.Expect(w.asked()).To(BeEmpty(), "no registry is asked on behalf of a stranger")
	for _, condition := range w.policy.Status.Conditions {
		g.Expect(condition.Message).NotTo(ContainSubstring("1.1.0"))
		g.Expect(condition.Message).NotTo(ContainSubstring(w.repo.Spec.Image))
	}
}

// TestImagePolicy_IgnoresTagsOfDeletedRepository shows that an ImageRepository which has the
// name of one that was deleted does not offer that one's tags.
func TestImagePolicy_IgnoresTagsOfDeletedRepository(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	w.scanned(g, "1.0.0")
	w.repo.UID = "somebody-else"
	w.saveRepository(g)
	g.Expect(w.settle()).To(MatchError(ContainSubstring("no tags of ImageRepository 'ns/app' are known")))
	g.Expect(w.policy.Status.LatestRef).To(BeNil())
}

// TestAccess_SeparatesProxies shows that what comes through the proxy of one
// namespace makes nobody wait who does not use it.
func TestAccess_SeparatesProxies(t *testing.T) {
	g := NewWithT(t)
	names := map[string]bool{}
	for _, namespace := range []string{"a", "b"} {
		for _, secret := range []string{"", "one", "two"} {
			repo := &v1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}}
			if secret != "" {
				repo.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: secret}
			}
			names[reconcile.RegistryAccess(nil, repo, image.Name{}).Proxy] = true
		}
	}
	g.Expect(names).To(HaveLen(5), "four proxies, and the one way that all share")
}
