// SPDX-License-Identifier: Apache-2.0

package repository_test

import (
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/repository"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

func TestKeyOf_DefaultsToPolicyNamespace(t *testing.T) {
	g := NewWithT(t)
	policy := &v1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "apps"}}
	policy.Spec.ImageRepositoryRef = meta.NamespacedObjectReference{Name: "app"}
	g.Expect(repository.KeyOf(policy)).To(Equal(types.NamespacedName{Namespace: "apps", Name: "app"}), "the default namespace")
	policy.Spec.ImageRepositoryRef.Namespace = "shared"
	g.Expect(repository.KeyOf(policy)).To(Equal(types.NamespacedName{Namespace: "shared", Name: "app"}))
}

func TestAllowsNamespace_MatchesAccessFromSelectors(t *testing.T) {
	g := NewWithT(t)
	team := &acl.AccessFrom{NamespaceSelectors: []acl.NamespaceSelector{{MatchLabels: map[string]string{"team": "a"}}}}
	g.Expect(repository.AllowsNamespace(team, labels.Set{"team": "a", "x": "y"})).To(BeTrue())
	g.Expect(repository.AllowsNamespace(team, labels.Set{"team": "b"})).To(BeFalse())
	g.Expect(repository.AllowsNamespace(nil, nil)).To(BeFalse(), "without accessFrom")
	g.Expect(repository.AllowsNamespace(&acl.AccessFrom{}, nil)).To(BeFalse(), "an empty list")
	g.Expect(repository.AllowsNamespace(&acl.AccessFrom{NamespaceSelectors: []acl.NamespaceSelector{{}}}, nil)).To(BeTrue(), "an empty selector")
}

func TestNeedsConfirmation_ReportsUnlistedCurrentTag(t *testing.T) {
	const img = "registry.example.com/app"
	rule, err := selection.Compile(&v1.ImagePolicySpec{Policy: v1.ImagePolicyChoice{SemVer: &v1.SemVerPolicy{Range: "1.x"}}})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for _, tt := range []struct {
		reason  string
		current *v1.ImageRef
		exclude []string
		listed  []string
		want    bool
	}{
		{"a higher tag that the list lacks", image.NewRef(img, "1.2.0", ""), nil, []string{"1.0.0"}, true},
		{"the only tag", image.NewRef(img, "1.2.0", ""), nil, nil, true},
		{"a lower tag that the list lacks", image.NewRef(img, "1.2.0", ""), nil, []string{"1.3.0"}, false},
		{"a listed tag", image.NewRef(img, "1.2.0", ""), nil, []string{"1.2.0"}, false},
		{"a tag that the rule rejects", image.NewRef(img, "2.0.0", ""), nil, []string{"1.0.0"}, false},
		{"an excluded tag", image.NewRef(img, "1.2.0", ""), []string{"^1.2"}, []string{"1.0.0"}, false},
		{"a tag of another image", image.NewRef("other", "1.2.0", ""), nil, []string{"1.0.0"}, false},
		{"no current tag", nil, nil, []string{"1.0.0"}, false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			repo := &v1.ImageRepository{Spec: v1.ImageRepositorySpec{Image: img, ExclusionList: tt.exclude}}
			listed := scan.Next(scan.Snapshot{}, img, tt.listed, time.Unix(1, 0))
			var choice *selection.Choice
			if best, found := rule.Select(listed.Tags); found {
				choice = &best
			}
			NewWithT(t).Expect(repository.NeedsConfirmation(rule, repo, listed, choice, tt.current)).To(Equal(tt.want))
		})
	}
}
