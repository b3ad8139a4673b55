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

// useOtherNamespace moves the policy to another namespace.
func (f *fixture) useOtherNamespace() {
	f.policy.Namespace, f.policy.Spec.ImageRepositoryRef.Namespace = "other", "ns"
}

// shareWith allows policies in namespaces with the label team to use the repository.
func (f *fixture) shareWith(team string) {
	f.repo.Spec.AccessFrom = &acl.AccessFrom{NamespaceSelectors: []acl.NamespaceSelector{{MatchLabels: map[string]string{"team": team}}}}
}

// TestAccess_HidesExistenceFromOtherNamespaces checks that a policy without access gets the same
// status and the same delay whether the ImageRepository exists or not, and in every state of it.
func TestAccess_HidesExistenceFromOtherNamespaces(t *testing.T) {
	statusAfter := func(change func(*fixture)) (v1.ImagePolicyStatus, time.Duration) {
		f := newFixture(t)
		f.useOtherNamespace()
		change(f)
		reader := newReader(t)
		if f.repo.Name == "app" {
			reader = newReader(t, f.repo)
		}
		f.worker.Reader, f.worker.Access.Reader = reader, reader
		if f.worker.Shard.Selector != nil {
			f.worker.Reader, f.worker.Shard.APIReader = newReader(t), reader
		}
		waiting, ok := errors.AsType[*conditions.WaitingError](f.reconcile())
		NewWithT(t).Expect(ok).To(BeTrue(), "got %v", waiting)
		NewWithT(t).Expect(waiting.Reason).To(Equal(acl.AccessDeniedReason), "got %v", waiting)
		for i := range f.policy.Status.Conditions {
			f.policy.Status.Conditions[i].LastTransitionTime = metav1.Time{}
		}
		return f.policy.Status, waiting.After
	}
	g := NewWithT(t)
	want, wantAfter := statusAfter(func(f *fixture) { f.repo.Name = "renamed" })
	g.Expect(want.Conditions).NotTo(BeEmpty())
	for name, change := range map[string]func(*fixture){
		"is not shared":                func(*fixture) {},
		"is shared with another team":  func(f *fixture) { f.shareWith("a") },
		"is shared without a selector": func(f *fixture) { f.repo.Spec.AccessFrom = &acl.AccessFrom{} },
		"is suspended":                 func(f *fixture) { f.repo.Spec.Suspend = true },
		"has an invalid image":         func(f *fixture) { f.repo.Spec.Image = "ghcr.io/A b" },
		"fails": func(f *fixture) {
			f.repo.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionFalse, Message: "Secret \"theirs\""}}
		},
		"is in another shard": func(f *fixture) {
			f.repo.Labels, f.worker.Shard.Selector = labels.Set{"shard": "b"}, labels.SelectorFromSet(labels.Set{"shard": "a"})
		},
		"is about to be cached": func(f *fixture) {
			f.repo.Labels, f.worker.Shard.Selector = labels.Set{"shard": "a"}, labels.SelectorFromSet(labels.Set{"shard": "a"})
		},
		"does not exist in any shard": func(f *fixture) {
			f.repo.Name, f.worker.Shard.Selector = "renamed", labels.SelectorFromSet(labels.Set{"shard": "a"})
		},
	} {
		status, after := statusAfter(change)
		g.Expect(status).To(Equal(want), name)
		g.Expect(after).To(Equal(wantAfter), name)
	}
}

// TestAccess_ReportsOtherShardIfAllowed checks that a policy with access gets the full message.
func TestAccess_ReportsOtherShardIfAllowed(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.useOtherNamespace()
	f.shareWith("b")
	f.repo.Labels = labels.Set{"shard": "b"}
	reader := newReader(t, f.repo)
	f.worker.Reader, f.worker.Access.Reader = newReader(t), reader
	f.worker.Shard = Shard{Selector: labels.SelectorFromSet(labels.Set{"shard": "a"}), APIReader: reader}
	waiting, ok := errors.AsType[*conditions.WaitingError](f.reconcile())
	g.Expect(ok).To(BeTrue())
	g.Expect(waiting.Error()).To(ContainSubstring("belongs to another controller than this ImagePolicy"))
}

// TestAccess_IsCheckedOnEverySelection checks that a policy whose access is revoked keeps its
// latest image and gets no newer one.
func TestAccess_IsCheckedOnEverySelection(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.useOtherNamespace()
	f.shareWith("b")
	f.scanned(g, "1.0.0")
	g.Expect(f.reconcile()).To(Succeed())
	g.Expect(f.policy.Status.LatestRef.Tag).To(Equal("1.0.0"))

	f.repo.Spec.AccessFrom = nil
	f.scanned(g, "1.0.0", "1.1.0")
	g.Expect(f.reconcile()).To(HaveOccurred())
	g.Expect(f.policy.Status.LatestRef.Tag).To(Equal("1.0.0"))
	g.Expect(f.receivedRequests()).To(BeEmpty(), "no request is sent for a policy without access")
	for _, condition := range f.policy.Status.Conditions {
		g.Expect(condition.Message).NotTo(ContainSubstring("1.1.0"))
		g.Expect(condition.Message).NotTo(ContainSubstring(f.repo.Spec.Image))
	}
}

// TestImagePolicy_IgnoresTagsOfDeletedRepository checks that a new ImageRepository does not use the
// tags of a deleted one with the same name.
func TestImagePolicy_IgnoresTagsOfDeletedRepository(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.scanned(g, "1.0.0")
	f.repo.UID = "new"
	f.saveRepository(g)
	g.Expect(f.reconcile()).To(MatchError(ContainSubstring("no tags of ImageRepository 'ns/app' are known")))
	g.Expect(f.policy.Status.LatestRef).To(BeNil())
}

// TestAccess_SeparatesProxies checks that rate limits are separate for each proxy Secret, so that a
// slow proxy does not delay other requests.
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
	g.Expect(names).To(HaveLen(5), "four proxies, and no proxy")
}
