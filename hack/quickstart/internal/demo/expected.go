// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"slices"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/internal/view"
)

// expectation is what a sample must come to.
type expectation struct {
	kind, name string
	repository string
	// tag is the tag that a policy must select, or how many a repository has.
	tag string
	// digest says that the policy must reflect the digest.
	digest bool
}

var expectations = []expectation{
	{kind: v1.ImageRepositoryKind, name: "samples/billing", repository: "billing", tag: "4"},
	{kind: v1.ImageRepositoryKind, name: "samples/podinfo", repository: "podinfo", tag: "4"},
	{kind: v1.ImageRepositoryKind, name: "samples/warehouse", repository: "warehouse", tag: "3"},
	{kind: v1.ImageRepositoryKind, name: "samples/webapp", repository: "webapp", tag: "5"},

	{kind: v1.ImagePolicyKind, name: "samples-preview/podinfo", repository: "podinfo", tag: "2.0.0-rc.1"},
	{kind: v1.ImagePolicyKind, name: "samples/billing", repository: "billing", tag: "v2.3.1"},
	{kind: v1.ImagePolicyKind, name: "samples/podinfo", repository: "podinfo", tag: "1.10.0", digest: true},
	{kind: v1.ImagePolicyKind, name: "samples/warehouse", repository: "warehouse", tag: "RELEASE.2026-05-01T10-00-00Z"},
	{kind: v1.ImagePolicyKind, name: "samples/webapp-latest", repository: "webapp", tag: "latest", digest: true},
	{kind: v1.ImagePolicyKind, name: "samples/webapp-main", repository: "webapp", tag: newestBuild},
}

// Unmet returns what is not as it must be: nothing, once every sample has
// resolved to what was pushed. Digests are by reference.
func Unmet(rows []view.Row, hosts Hosts, digests map[string]string) []string {
	var unmet []string
	for _, want := range expectations {
		if complaint := want.check(rows, hosts, digests); complaint != "" {
			unmet = append(unmet, fmt.Sprintf("%s %s %s", want.kind, want.name, complaint))
		}
	}
	for _, row := range rows {
		if !slices.ContainsFunc(expectations, func(e expectation) bool { return e.describes(row) }) {
			unmet = append(unmet, fmt.Sprintf("%s %s is a sample of which nothing is expected: say what in hack/quickstart/internal/demo",
				row.Kind, row.Name))
		}
	}
	return unmet
}

func (e expectation) describes(row view.Row) bool { return e.kind == row.Kind && e.name == row.Name }

func (e expectation) check(rows []view.Row, hosts Hosts, digests map[string]string) string {
	i := slices.IndexFunc(rows, e.describes)
	if i < 0 {
		return "does not exist"
	}
	row := rows[i]
	if row.Ready != "True" {
		return fmt.Sprintf("is not ready: %q", row.Message)
	}
	digest := ""
	if e.digest {
		digest = digests[e.repository+":"+e.tag]
	}
	for _, c := range []struct{ what, got, want string }{
		{"image", row.Image, hosts.image(e.repository)},
		{"tag", row.Tag, e.tag},
		{"digest", row.Digest, digest},
	} {
		if c.got != c.want {
			return fmt.Sprintf("has the %s '%s', and must have '%s'", c.what, c.got, c.want)
		}
	}
	return ""
}
