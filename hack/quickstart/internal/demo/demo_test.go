// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/internal/view"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
)

var hosts = Hosts{Public: "127.0.0.1:1111", Private: "127.0.0.1:2222"}

func TestSamplesNameTheRegistriesInUse(t *testing.T) {
	g := NewWithT(t)
	root, err := stage.Root()
	g.Expect(err).NotTo(HaveOccurred())

	objects, err := Build(filepath.Join(root, "config/samples"), filepath.Join(t.TempDir(), "samples"), hosts)

	g.Expect(err).NotTo(HaveOccurred())
	images := map[string]any{}
	for _, object := range objects {
		g.Expect(object.GetKind()).NotTo(Equal("SampleRegistry"), "it is no Kubernetes object")
		if spec, ok := object.Object["spec"].(map[string]any); ok && object.GetKind() == "ImageRepository" {
			images[object.GetName()] = spec["image"]
			g.Expect(spec["insecure"]).To(BeTrue(), object.GetName())
		}
	}
	g.Expect(images).To(Equal(map[string]any{
		"podinfo": "127.0.0.1:1111/podinfo", "webapp": "127.0.0.1:1111/webapp", "warehouse": "127.0.0.1:1111/warehouse",
		"billing": "127.0.0.1:2222/billing",
	}))
}

// resolved are rows that meet every expectation.
func resolved(digests map[string]string) []view.Row {
	var rows []view.Row
	for _, e := range expectations {
		row := view.Row{Kind: e.kind, Name: e.name, Image: hosts.image(e.repository), Tag: e.tag, Ready: "True"}
		if e.digest {
			row.Digest = digests[e.repository+":"+e.tag]
		}
		rows = append(rows, row)
	}
	return rows
}

func TestUnmet(t *testing.T) {
	digests := map[string]string{"podinfo:1.10.0": "sha256:index", "webapp:latest": "sha256:latest"}
	podinfo := slices.IndexFunc(expectations, func(e expectation) bool { return e.name == "samples/podinfo" && e.digest })
	billing := slices.IndexFunc(expectations, func(e expectation) bool { return e.name == "samples/billing" && e.kind == "ImagePolicy" })
	for _, c := range []struct {
		reason string
		change func(rows []view.Row) []view.Row
		want   string
	}{
		{"all is well", func(rows []view.Row) []view.Row { return rows }, ""},
		{"not ready", func(rows []view.Row) []view.Row {
			rows[podinfo].Ready, rows[podinfo].Message = "False", "no tags"
			return rows
		}, `ImagePolicy samples/podinfo is not ready: "no tags"`},
		{"another tag", func(rows []view.Row) []view.Row { rows[podinfo].Tag = "1.9.0"; return rows },
			"ImagePolicy samples/podinfo has the tag '1.9.0', and must have '1.10.0'"},
		{"another digest", func(rows []view.Row) []view.Row { rows[podinfo].Digest = "sha256:amd64"; return rows },
			"ImagePolicy samples/podinfo has the digest 'sha256:amd64', and must have 'sha256:index'"},
		{"a digest that nobody asked for", func(rows []view.Row) []view.Row { rows[billing].Digest = "sha256:x"; return rows },
			"ImagePolicy samples/billing has the digest 'sha256:x', and must have ''"},
		{"another registry", func(rows []view.Row) []view.Row { rows[billing].Image = "127.0.0.1:1111/billing"; return rows },
			"ImagePolicy samples/billing has the image '127.0.0.1:1111/billing', and must have '127.0.0.1:2222/billing'"},
		{"missing", func(rows []view.Row) []view.Row { return slices.Delete(rows, podinfo, podinfo+1) },
			"ImagePolicy samples/podinfo does not exist"},
		{"unknown", func(rows []view.Row) []view.Row { return append(rows, view.Row{Kind: "ImagePolicy", Name: "a/new"}) },
			"ImagePolicy a/new is a sample of which nothing is expected"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			g := NewWithT(t)
			unmet := strings.Join(Unmet(c.change(resolved(digests)), hosts, digests), "\n")
			if c.want == "" {
				g.Expect(unmet).To(BeEmpty())
				return
			}
			g.Expect(unmet).To(HavePrefix(c.want))
			g.Expect(unmet).NotTo(ContainSubstring("\n"), "nothing else is wrong")
		})
	}
}

func TestCredentials(t *testing.T) {
	g := NewWithT(t)
	secret, err := Credentials("127.0.0.1:2222", "user", "secret")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(secret.Data).To(HaveKeyWithValue(".dockerconfigjson", MatchJSON(`{"auths":{"127.0.0.1:2222":{"username":"user","password":"secret"}}}`)))
}
