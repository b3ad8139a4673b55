// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

func TestOwnChanges_IgnoreStatusUpdates(t *testing.T) {
	g := NewWithT(t)
	object := func(uid types.UID, generation int64, version string) *v1.ImagePolicy {
		return &v1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Name: "app", UID: uid, Generation: generation, ResourceVersion: version}}
	}
	passes := func(before, after *v1.ImagePolicy) bool {
		return ownChanges().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})
	}
	g.Expect(passes(object("a", 1, "1"), object("a", 1, "2"))).To(BeFalse(), "a change of the status")
	g.Expect(passes(object("a", 1, "1"), object("a", 2, "2"))).To(BeTrue(), "a new generation")
	g.Expect(passes(object("a", 1, "1"), object("b", 1, "2"))).To(BeTrue(), "a replaced object")
	g.Expect(ownChanges().Create(event.CreateEvent{Object: object("a", 1, "1")})).To(BeTrue())
	g.Expect(ownChanges().Delete(event.DeleteEvent{Object: object("a", 1, "1")})).To(BeTrue())
}

func TestRepositoryChanges_TriggerPolicies(t *testing.T) {
	for name, tc := range map[string]struct {
		change  func(*v1.ImageRepository)
		affects bool
	}{
		"nothing":             {func(*v1.ImageRepository) {}, false},
		"the time of a scan":  {func(r *v1.ImageRepository) { r.Status.LastScanResult.ScanTime = metav1.Now() }, false},
		"a message":           {func(r *v1.ImageRepository) { r.Status.Conditions[0].Message = "other" }, false},
		"the interval":        {func(r *v1.ImageRepository) { r.Spec.Interval.Duration++ }, false},
		"the revision":        {func(r *v1.ImageRepository) { r.Status.LastScanResult.Revision = "other" }, true},
		"the observed image":  {func(r *v1.ImageRepository) { r.Status.ObservedImage = "other" }, true},
		"the image":           {func(r *v1.ImageRepository) { r.Spec.Image = "other" }, true},
		"readiness":           {func(r *v1.ImageRepository) { r.Status.Conditions[0].Status = metav1.ConditionFalse }, true},
		"access":              {func(r *v1.ImageRepository) { r.Spec.AccessFrom = &acl.AccessFrom{} }, true},
		"replaced":            {func(r *v1.ImageRepository) { r.UID = "other" }, true},
		"the credentials":     {func(r *v1.ImageRepository) { r.Spec.SecretRef = &meta.LocalObjectReference{Name: "other"} }, true},
		"the certificates":    {func(r *v1.ImageRepository) { r.Spec.CertSecretRef = &meta.LocalObjectReference{Name: "other"} }, true},
		"the proxy":           {func(r *v1.ImageRepository) { r.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: "other"} }, true},
		"the service account": {func(r *v1.ImageRepository) { r.Spec.ServiceAccountName = "other" }, true},
		"the provider":        {func(r *v1.ImageRepository) { r.Spec.Provider = "aws" }, true},
		"insecure":            {func(r *v1.ImageRepository) { r.Spec.Insecure = true }, true},
	} {
		before := &v1.ImageRepository{ObjectMeta: metav1.ObjectMeta{UID: "u"}, Spec: v1.ImageRepositorySpec{Image: "image"}}
		before.Status = v1.ImageRepositoryStatus{
			ObservedImage:  "image",
			LastScanResult: &v1.ScanResult{Revision: "revision"},
			Conditions:     []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: meta.SucceededReason}},
		}
		after := before.DeepCopy()
		tc.change(after)
		NewWithT(t).Expect(repositoryChanges().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})).To(Equal(tc.affects), "%s: affects policies", name)
	}
}
