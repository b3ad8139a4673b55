// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestTarget(t *testing.T) {
	var all []*unstructured.Unstructured
	for _, each := range [][3]string{
		{"ImageRepository", "samples", "podinfo"},
		{"ImageRepository", "samples", "webapp"},
		{"ImagePolicy", "samples", "podinfo"},
		{"ImagePolicy", "preview", "podinfo"},
	} {
		obj := &unstructured.Unstructured{}
		obj.SetKind(each[0])
		obj.SetNamespace(each[1])
		obj.SetName(each[2])
		all = append(all, obj)
	}
	for _, c := range []struct {
		text    string
		want    int // in the list above
		problem string
	}{
		{text: "webapp", want: 1},
		{text: "samples/webapp", want: 1},
		{text: "imagerepository/podinfo", want: 0},
		{text: "imgpol/preview/podinfo", want: 3},
		{text: "ImagePolicy/samples/podinfo", want: 2},
		{text: "samples/podinfo", problem: "choose one of imagerepository/samples/podinfo, imagepolicy/samples/podinfo"},
		{text: "imagepolicy/podinfo", problem: "choose one of imagepolicy/samples/podinfo, imagepolicy/preview/podinfo"},
		{text: "imagepolicy/webapp", problem: "there is no imagepolicy/webapp: write [KIND/][NAMESPACE/]NAME"},
		{text: "imagepolicy/", problem: "names no object"},
		{text: "pod/samples/podinfo", problem: "names no object"},
	} {
		t.Run(c.text, func(t *testing.T) {
			g := NewWithT(t)
			wanted, err := parseTarget(c.text)
			var got *unstructured.Unstructured
			if err == nil {
				got, err = wanted.find(all)
			}
			if c.problem != "" {
				g.Expect(err).To(MatchError(ContainSubstring(c.problem)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(BeIdenticalTo(all[c.want]))
		})
	}
}
