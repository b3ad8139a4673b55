// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/api/v1beta2"
)

// TestHistory_IsValidated checks the bounds of status.history, and that both versions have it.
func TestHistory_IsValidated(t *testing.T) {
	s := newStatuses(t, "with-history")
	at := metav1.NewTime(time.Date(2026, 8, 5, 10, 0, 0, 0, time.UTC))
	entries := []v1.HistoryEntry{
		{Name: "a", Tag: "2", Digest: "sha256:d", SelectedAt: &at, Reason: v1.SelectedTagGone, Generation: 3}, {Name: "a", Tag: "1"},
	}
	s.reconcile(func(_ context.Context, policy *v1.ImagePolicy) error {
		policy.Status.History = entries
		return nil
	})
	older := &v1beta2.ImagePolicy{}
	s.Expect(s.api.Get(s.ctx, s.key, older)).To(Succeed())
	s.Expect(older.Status.History).To(HaveLen(2))
	s.Expect(older.Status.History[0].SelectedAt.Equal(&at)).To(BeTrue())
	s.Expect(older.Status.History[1]).To(Equal(entries[1]), "time and reason are optional")

	for want, history := range map[string][]v1.HistoryEntry{
		`Unsupported value: "Whim"`:  {{Name: "a", Tag: "1", Reason: "Whim"}},
		"must have at most 10 items": slices.Repeat(entries[1:], v1.MaxHistory+1),
	} {
		policy := s.get()
		before := policy.DeepCopy()
		policy.Status.History = history
		s.Expect(s.api.Status().Patch(s.ctx, policy, client.MergeFrom(before))).To(MatchError(ContainSubstring(want)))
	}
}
