// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"testing"

	. "github.com/onsi/gomega"
)

func TestUnmet_ReportsDifferences(t *testing.T) {
	expected := state{PublicHost: "127.0.0.1:1111", PrivateHost: "127.0.0.1:2222"}.expected(map[string]string{"podinfo:1.10.0": "sha256:index"})
	podinfo := slices.IndexFunc(expected, func(r row) bool { return r.digest == "sha256:index" })
	billing := slices.IndexFunc(expected, func(r row) bool { return r.key() == "ImagePolicy samples/billing" })
	for _, tt := range []struct {
		reason string
		change func(rows []row) []row
		want   []string
	}{
		{"all samples have resolved", func(rows []row) []row { return rows }, nil},
		{"a policy is not ready", func(rows []row) []row {
			rows[podinfo].ready, rows[podinfo].message = "False", "no tags"
			return rows
		}, []string{`ImagePolicy samples/podinfo is not ready: "no tags"`}},
		{"a policy has another tag", func(rows []row) []row { rows[podinfo].tag = "1.9.0"; return rows }, []string{"ImagePolicy samples/podinfo has the tag '1.9.0', want '1.10.0'"}},
		{"a policy has another digest", func(rows []row) []row { rows[podinfo].digest = "sha256:amd64"; return rows },
			[]string{"ImagePolicy samples/podinfo has the digest 'sha256:amd64', want 'sha256:index'"}},
		{"a policy has a digest that the sample does not reflect", func(rows []row) []row { rows[billing].digest = "sha256:x"; return rows },
			[]string{"ImagePolicy samples/billing has the digest 'sha256:x', want ''"}},
		{"a policy has the image of another registry", func(rows []row) []row { rows[billing].image = "127.0.0.1:1111/billing"; return rows },
			[]string{"ImagePolicy samples/billing has the image '127.0.0.1:1111/billing', want '127.0.0.1:2222/billing'"}},
		{"a policy is missing", func(rows []row) []row { return slices.Delete(rows, podinfo, podinfo+1) }, []string{"ImagePolicy samples/podinfo does not exist"}},
		{"a sample has no expected result", func(rows []row) []row { return append(rows, row{kind: "ImagePolicy", name: "a/new"}) },
			[]string{"ImagePolicy a/new is a sample without an expected result: add it to the rows in hack/quickstart/samples.go"}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			rows := slices.Clone(expected)
			for i := range rows {
				rows[i].ready = "True"
			}
			NewWithT(t).Expect(unmet(tt.change(rows), expected)).To(Equal(tt.want))
		})
	}
}

func TestSampleImages_AttestationIsThatOfAnImage(t *testing.T) {
	g := NewWithT(t)
	var attested, tags []string
	for _, image := range sampleImages {
		artifact, err := image.artifact()
		g.Expect(err).NotTo(HaveOccurred())
		digest, err := artifact.Digest()
		g.Expect(err).NotTo(HaveOccurred())
		tags = append(tags, image.repository+":sha256-"+digest.Hex+".att")
		if image.envelope != nil {
			attested = append(attested, image.reference())
		}
	}
	g.Expect(attested).NotTo(BeEmpty())
	g.Expect(tags).To(ContainElements(attested), "the digest of the image has changed: attest it again, as samples.go says, "+
		"and change the tag and the key in config/samples/payments.yaml")
}
