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
		{"all is well", func(rows []row) []row { return rows }, nil},
		{"it is not ready", func(rows []row) []row {
			rows[podinfo].ready, rows[podinfo].message = "False", "no tags"
			return rows
		}, []string{`ImagePolicy samples/podinfo is not ready: "no tags"`}},
		{"it has another tag", func(rows []row) []row { rows[podinfo].tag = "1.9.0"; return rows }, []string{"ImagePolicy samples/podinfo has the tag '1.9.0', and must have '1.10.0'"}},
		{"it has another digest", func(rows []row) []row { rows[podinfo].digest = "sha256:amd64"; return rows },
			[]string{"ImagePolicy samples/podinfo has the digest 'sha256:amd64', and must have 'sha256:index'"}},
		{"it has a digest that the sample does not ask for", func(rows []row) []row { rows[billing].digest = "sha256:x"; return rows },
			[]string{"ImagePolicy samples/billing has the digest 'sha256:x', and must have ''"}},
		{"it is of another registry", func(rows []row) []row { rows[billing].image = "127.0.0.1:1111/billing"; return rows },
			[]string{"ImagePolicy samples/billing has the image '127.0.0.1:1111/billing', and must have '127.0.0.1:2222/billing'"}},
		{"it is missing", func(rows []row) []row { return slices.Delete(rows, podinfo, podinfo+1) }, []string{"ImagePolicy samples/podinfo does not exist"}},
		{"it is new", func(rows []row) []row { return append(rows, row{kind: "ImagePolicy", name: "a/new"}) },
			[]string{"ImagePolicy a/new is a sample of which nothing is expected: add it to the rows in hack/quickstart/samples.go"}},
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
