// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
)

// example is an object of a block or file.
type example struct {
	where   string // file and line
	object  *unstructured.Unstructured
	source  string
	invalid string // the error of the API server, if it must reject the object
}

// TestExamples_AreAccepted creates the examples on an API server.
func TestExamples_AreAccepted(t *testing.T) {
	api, err := client.New(startPlane(t).Config(), client.Options{})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	server := client.WithFieldValidation(api, "Strict")
	for _, e := range examples(t) {
		t.Run(e.where, func(t *testing.T) { e.check(t, server) })
	}
}

func examples(t *testing.T) []example {
	t.Helper()
	var found []example
	for _, p := range pages(t) {
		for _, b := range p.blocks() {
			language, rest, _ := strings.Cut(b.info, " ")
			if language != "yaml" {
				continue
			}
			message, invalid := strings.CutPrefix(rest, "invalid: ")
			if rest != "" && !invalid {
				t.Errorf("%s:%d has the unknown info string %q", p.path, b.line, b.info)
			}
			found = append(found, parse(t, fmt.Sprintf("%s:%d", p.path, b.line), b.text, message)...)
		}
	}
	samples, err := fs.Glob(os.DirFS(root(t)), "config/samples/*.yaml")
	if err != nil || len(samples) == 0 || len(found) == 0 {
		t.Fatalf("there are %d samples, and %d examples in pages: %v", len(samples), len(found), err)
	}
	for _, path := range samples {
		found = append(found, parse(t, path, content(t, path), "")...)
	}
	return found
}

// parse returns the objects of a text that are part of Kubernetes core or of this API.
func parse(t *testing.T, where, text, invalid string) []example {
	t.Helper()
	g := NewWithT(t)
	var found []example
	for document := range strings.SplitSeq(text, "\n---\n") {
		fields := map[string]any{}
		g.Expect(yaml.UnmarshalStrict([]byte(document), &fields)).To(Succeed(), "%s is invalid YAML", where)
		object := &unstructured.Unstructured{Object: fields}
		switch object.GroupVersionKind().Group {
		case v1.GroupVersion.Group:
		case "":
			g.Expect(object.GetKind()).NotTo(BeEmpty(), "%s has no kind: write complete objects, or use another info string than yaml", where)
		default:
			continue
		}
		found = append(found, example{where: where + "/" + object.GetKind(), object: object, source: document, invalid: invalid})
	}
	return found
}

// check creates the object in a dry run, and checks its status and selection.
func (e example) check(t *testing.T, server client.Client) {
	if e.object.GetKind() != "Namespace" {
		e.object.SetNamespace("default")
	}
	err := server.Create(t.Context(), e.object.DeepCopy(), client.DryRunAll)
	switch {
	case e.invalid == "" && err != nil:
		t.Fatalf("the API server rejects this example: %v", err)
	case e.invalid != "":
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring(e.invalid)), "error of the API server")
		return
	}
	if e.object.Object["status"] != nil {
		e.checkStatus(t, server)
	}
	if e.object.GetKind() == v1.ImagePolicyKind {
		e.checkSelection(t)
		e.checkExpressions(t)
	}
}

// checkStatus creates the object and writes the status of the example.
func (e example) checkStatus(t *testing.T, server client.Client) {
	t.Helper()
	created := e.object.DeepCopy()
	err := server.Create(t.Context(), created)
	created.Object["status"] = e.object.Object["status"]
	if err = errors.Join(err, server.Status().Update(t.Context(), created), server.Delete(t.Context(), created)); err != nil {
		t.Errorf("the API server rejects the status of this example: %v", err)
	}
}

var claim = regexp.MustCompile(`Of the tags (.+?),? it selects (\S+)\.`)

// checkExpressions checks that the expressions of the policy compile.
func (e example) checkExpressions(t *testing.T) {
	t.Helper()
	policy := &v1.ImagePolicy{}
	NewWithT(t).Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(e.object.Object, policy)).To(Succeed())
	if verify := policy.Spec.Verify; verify != nil {
		NewWithT(t).Expect(signature.CheckRequirements(verify.Attestations)).To(Succeed())
	}
}

// checkSelection checks that the policy selects the tag that its comment names.
func (e example) checkSelection(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	m := claim.FindStringSubmatch(comments(e.source))
	if m == nil {
		return
	}
	policy := &v1.ImagePolicy{}
	g.Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(e.object.Object, policy)).To(Succeed())
	rule, err := selection.Compile(&policy.Spec)
	g.Expect(err).NotTo(HaveOccurred())
	tags := strings.Split(strings.ReplaceAll(m[1], " and ", ", "), ", ")
	if choice, _ := rule.Select(tags); choice.Tag != m[2] {
		t.Errorf("of the tags %q the policy selects %q, want %q", tags, choice.Tag, m[2])
	}
}

var commentLine = regexp.MustCompile(`(?m)^ *# *(.*)\n`)

// comments returns the comments of a document as one line.
func comments(document string) string {
	var text strings.Builder
	for _, m := range commentLine.FindAllStringSubmatch(document+"\n", -1) {
		text.WriteString(m[1] + " ")
	}
	return text.String()
}
