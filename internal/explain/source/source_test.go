// SPDX-License-Identifier: Apache-2.0

package source

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

const policyV1 = `apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: app, namespace: apps}
spec:
  imageRepositoryRef: {name: app}
  policy: {semver: {range: 1.x}}
`

const repositoryV1beta2 = `---
# the older version
apiVersion: image.toolkit.fluxcd.io/v1beta2
kind: ImageRepository
metadata: {name: app}
spec: {image: registry.example.com/app, interval: 5m}
`

const deployment = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: app}\n---\n"

func TestCase_LoadsObjectsFromFiles(t *testing.T) {
	list := "\ufeffapiVersion: v1\nkind: List\nitems:\n"
	for _, object := range []string{policyV1, deployment, repositoryV1beta2} {
		list += "- " + strings.ReplaceAll(strings.Trim(object, "-\n"), "\n", "\n  ") + "\n"
	}
	other := strings.ReplaceAll(policyV1, "name: app,", "name: other,")
	for _, tt := range []struct{ reason, content, name, namespace, image string }{
		{"multiple documents", policyV1 + deployment + repositoryV1beta2, "", "", ""},
		{"list, as printed by kubectl get", list, "app", "", ""},
		{"one of multiple policies is named", policyV1 + "---\n" + other, "other", "apps", "registry.example.com/app"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			file := filepath.Join(t.TempDir(), "all.yaml")
			g.Expect(os.WriteFile(file, []byte(tt.content), 0o600)).To(Succeed())
			objects, err := ReadFiles([]string{file}, nil)
			g.Expect(err).NotTo(HaveOccurred())
			c, err := objects.Case(tt.name, tt.namespace, tt.image)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(c.Policy.Name).To(Equal(cmp.Or(tt.name, "app")))
			g.Expect(c.Policy.Spec.Policy.SemVer.Range).To(Equal("1.x"))
			g.Expect(c.Repository.Spec.Image).To(Equal("registry.example.com/app"))
			g.Expect(c.PolicyFile).To(Equal(file))
			g.Expect(c.RepositoryFile).To(Equal(map[bool]string{true: file}[tt.image == ""]))
			g.Expect(c.Live()).To(BeFalse())
			_, err = objects.Case(tt.name, "elsewhere", tt.image)
			g.Expect(err).To(HaveOccurred(), "namespaces are compared if both are set")
		})
	}
}

func TestCase_RejectsInvalidFiles(t *testing.T) {
	other := strings.ReplaceAll(policyV1, "name: app", "name: other")
	for _, tt := range []struct {
		reason, content, name, image string
		want                         string
	}{
		{"unknown field", strings.Replace(policyV1, "range:", "rnge:", 1), "", "", `unknown field "spec.policy.semver.rnge"`},
		{"unknown field in the second document", policyV1 + "---\n" + strings.Replace(policyV1, "spec:", "spec: 1\nx:", 1), "", "", "standard input: document 2: "},
		{"duplicate key", policyV1 + "spec: {}\n", "", "", `"spec" already set`},
		{"field names are case-sensitive", strings.Replace(policyV1, "range:", "Range:", 1), "", "", `unknown field "spec.policy.semver.Range"`},
		{"unknown version", strings.Replace(policyV1, "/v1", "/v1beta1", 1), "", "", `there is no apiVersion "image.toolkit.fluxcd.io/v1beta1"`},
		{"unknown kind", strings.Replace(policyV1, "ImagePolicy", "ImagePolice", 1), "", "", `there is no kind "ImagePolice"`},
		{"invalid YAML", "a: [", "", "", "standard input: document 1"},
		{"empty file", "", "", "", "hold no ImagePolicy"},
		{"other kind", deployment, "", "", "hold no ImagePolicy, but Deployment"},
		{"two policies", policyV1 + "---\n" + other, "", "", "name one of them: apps/app, apps/other"},
		{"duplicate policy", policyV1 + "---\n" + policyV1, "", "", "ImagePolicy 'apps/app' is there twice, in standard input and in standard input: leave one of them out"},
		{"other name", policyV1, "web", "", "no such ImagePolicy, but apps/app"},
		{"unknown field in a list", "kind: List\nitems:\n- {}\n- {apiVersion: image.toolkit.fluxcd.io/v1, kind: ImagePolicy, spce: {}}\n", "", "", `document 1: items[1]: unknown field "spce"`},
		{"list instead of a map", strings.Replace(policyV1, "{semver: {range: 1.x}}", "[semver]", 1), "", "", "document 1: spec.policy must not be a list: write a map"},
		{"map instead of a list", policyV1 + "  platforms: {linux: amd64}\n", "", "", "spec.platforms must not be a map: write a list"},
		{"number instead of text", strings.Replace(policyV1, "range: 1.x", "range: 1", 1), "", "", "spec.policy.semver.range must not be a number: write text, in quotes"},
		{"text instead of a switch", strings.Replace(repositoryV1beta2, "interval: 5m", "insecure: on1", 1), "", "", "spec.insecure must not be text: write true or false"},
		{"number instead of a duration", strings.Replace(repositoryV1beta2, "interval: 5m", "interval: 5", 1), "", "", "spec.interval must not be a number: write text"},
		{"invalid duration", strings.Replace(repositoryV1beta2, "interval: 5m", "interval: 5m, timeout: 5 minutes", 1), "", "", `spec.timeout "5 minutes" is not a duration: write one such as 5m`},
		{"invalid duration, twice", strings.Replace(repositoryV1beta2, "interval: 5m", "interval: 5x, timeout: 5x", 1), "", "", `the value "5x" is not a duration`},
		{"invalid list", "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicyList\nitems: 1\n", "", "", "document 1: "},
		{"empty list", "kind: List\n", "", "", "hold no ImagePolicy"},
		{"other repository", strings.Replace(policyV1, "Ref: {name: app}", "Ref: {name: web}", 1) + repositoryV1beta2, "", "", "refers to the ImageRepository 'web', but the files hold app"},
		{"other namespace", policyV1 + strings.Replace(repositoryV1beta2, "name: app", "name: app, namespace: x", 1), "", "", "refers to the ImageRepository"},
		{"two repositories", policyV1 + repositoryV1beta2 + repositoryV1beta2, "", "", "may refer to the ImageRepository 'app' in standard input or to that"},
		{"no repository name", strings.Replace(policyV1, "name: app}\n  pol", "namespace: x}\n  pol", 1), "", "", "spec.imageRepositoryRef.name is missing"},
		{"two images", policyV1 + repositoryV1beta2, "", "x/y", "--image is for files without"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			objects, err := ReadFiles([]string{Stdin}, strings.NewReader(tt.content))
			if err == nil {
				_, err = objects.Case(tt.name, "", tt.image)
			}
			g := NewWithT(t)
			g.Expect(err).To(MatchError(ContainSubstring(tt.want)))
			g.Expect(err).To(BeAssignableToTypeOf(&InvalidError{}))
		})
	}
}

func TestReadTags_AcceptsLinesAndJSON(t *testing.T) {
	g := NewWithT(t)
	want := []string{"1.0.0", "latest"}
	for reason, content := range map[string]string{
		"lines":                        "1.0.0\n\n  latest\r\n",
		"a JSON array":                 `["1.0.0", "latest"]`,
		"response of a registry":       `{"name": "app", "tags": ["1.0.0", "latest"]}`,
		"output of other tools":        ` {"Repository": "app", "Tags": ["1.0.0", "latest"]}`,
		"lines with a byte order mark": "\ufeff1.0.0\nlatest\n",
		"JSON with a byte order mark":  "\ufeff[\"1.0.0\", \"latest\"]",
		"invalid names are left out":   "1.0.0\nlatest\n\x1b[2J\n",
	} {
		l, err := ReadTags(Stdin, strings.NewReader(content))
		g.Expect(err).NotTo(HaveOccurred(), reason)
		g.Expect(l.Tags).To(Equal(want), reason)
		if invalid := strings.Count(content, "\x1b"); l.Invalid != invalid {
			t.Errorf("%s: got %d invalid names, want %d", reason, l.Invalid, invalid)
		}
	}
	for _, content := range []string{"[1]", "[", `{"tags": 1}`, `{"errors": []}`} {
		_, err := ReadTags(Stdin, strings.NewReader(content))
		NewWithT(t).Expect(err).To(BeAssignableToTypeOf(&InvalidError{}), content)
	}
}
