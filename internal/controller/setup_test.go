/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package controller

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

func TestOwnChanges(t *testing.T) {
	g := NewWithT(t)
	object := func(uid types.UID, generation int64, version string) *v1.ImagePolicy {
		return &v1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Name: "app", UID: uid, Generation: generation, ResourceVersion: version}}
	}
	passes := func(before, after *v1.ImagePolicy) bool {
		return ownChanges().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})
	}
	g.Expect(passes(object("a", 1, "1"), object("a", 1, "2"))).To(BeFalse(), "what the reconciler writes")
	g.Expect(passes(object("a", 1, "1"), object("a", 2, "2"))).To(BeTrue(), "another spec")
	g.Expect(passes(object("a", 1, "1"), object("b", 1, "2"))).To(BeTrue(), "an object that was deleted and made again unseen")
	g.Expect(ownChanges().Create(event.CreateEvent{Object: object("a", 1, "1")})).To(BeTrue())
	g.Expect(ownChanges().Delete(event.DeleteEvent{Object: object("a", 1, "1")})).To(BeTrue())
}
