// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// example is one object of a block or file.
type example struct {
	where   string // file and line
	object  *unstructured.Unstructured
	source  string
	invalid string // what the API server says, where it rejects the object
}

// TestExamples creates the examples on an API server.
func TestExamples(t *testing.T) {
	server := startServer(t)
	examples := append(examplesOfPages(t), examplesOfSamples(t)...)
	if len(examples) == 0 {
		t.Fatal("there are no examples")
	}
	for _, e := range examples {
		t.Run(e.where, func(t *testing.T) { e.check(t, server) })
	}
}

// startServer starts a control plane, and returns a client that rejects fields
// which no schema knows.
func startServer(t *testing.T) client.Client {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	assets := os.Getenv(stage.AssetsVariable)
	if assets == "" {
		t.Fatalf("%s is not set, and this test needs a control plane: run make test", stage.AssetsVariable)
	}
	plane := &stage.ControlPlane{Assets: assets, Dir: t.TempDir(), CRDs: []string{filepath.Join(root(t), "config/crd/bases")}}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := plane.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.New(plane.Config(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client.WithFieldValidation(c, "Strict")
}

func examplesOfPages(t *testing.T) []example {
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
				t.Errorf("%s:%d is marked as %q, which means nothing", p.path, b.line, b.info)
			}
			found = append(found, parse(t, fmt.Sprintf("%s:%d", p.path, b.line), b.text, message)...)
		}
	}
	return found
}

func examplesOfSamples(t *testing.T) []example {
	t.Helper()
	dir := root(t)
	files, err := filepath.Glob(filepath.Join(dir, "config/samples/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var found []example
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, parse(t, strings.TrimPrefix(file, dir+"/"), string(content), "")...)
	}
	return found
}

// parse returns the objects in a text that an API server without further CRDs
// knows.
func parse(t *testing.T, where, text, invalid string) []example {
	t.Helper()
	var found []example
	documents := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return found
		}
		fields := map[string]any{}
		if err == nil {
			err = yaml.UnmarshalStrict(document, &fields)
		}
		if err != nil {
			t.Fatalf("%s is no YAML: %v", where, err)
		}
		object := &unstructured.Unstructured{Object: fields}
		switch object.GroupVersionKind().Group {
		case v1.GroupVersion.Group:
		case "":
			if object.GetKind() == "" {
				t.Fatalf("%s has no kind: write whole objects, or mark the block as something else than yaml", where)
			}
		default:
			continue
		}
		found = append(found, example{where: where + "/" + object.GetKind(), object: object, source: string(document), invalid: invalid})
	}
}

// check creates the object, without keeping it.
func (e example) check(t *testing.T, server client.Client) {
	status := e.object.Object["status"]
	if e.object.GetKind() != "Namespace" {
		e.object.SetNamespace("default")
	}
	err := server.Create(t.Context(), e.object.DeepCopy(), client.DryRunAll)
	switch {
	case e.invalid == "" && err != nil:
		t.Fatalf("the API server rejects this example: %v", err)
	case e.invalid != "" && err == nil:
		t.Fatal("the API server admits this example, which is said to be invalid")
	case e.invalid != "":
		if !strings.Contains(err.Error(), e.invalid) {
			t.Errorf("the API server says %v\nand not %q", err, e.invalid)
		}
		return
	}
	if status != nil {
		e.checkStatus(t, server, status)
	}
	if e.object.GetKind() == v1.ImagePolicyKind {
		e.checkSelection(t)
	}
}

// checkStatus writes the status of the example, which takes an object that
// exists.
func (e example) checkStatus(t *testing.T, server client.Client, status any) {
	t.Helper()
	created := e.object.DeepCopy()
	if err := server.Create(t.Context(), created); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Delete(t.Context(), created); err != nil {
			t.Error(err)
		}
	}()
	written := created.DeepCopy()
	written.Object["status"] = status
	if err := server.Status().Update(t.Context(), written, client.DryRunAll); err != nil {
		t.Errorf("the API server rejects the status of this example: %v", err)
	}
}

var claim = regexp.MustCompile(`Of the tags (.+?),? it selects (\S+)\.`)

// checkSelection has the policy select from the tags that its comment names.
func (e example) checkSelection(t *testing.T) {
	t.Helper()
	m := claim.FindStringSubmatch(comments(e.source))
	if m == nil {
		return
	}
	policy := &v1.ImagePolicy{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(e.object.Object, policy); err != nil {
		t.Fatal(err)
	}
	rule, err := selection.Compile(&policy.Spec)
	if err != nil {
		t.Fatal(err)
	}
	tags := strings.Split(strings.ReplaceAll(m[1], " and ", ", "), ", ")
	if choice, _ := rule.Select(tags); choice.Tag != m[2] {
		t.Errorf("of the tags %q the policy selects %q, and not %q", tags, choice.Tag, m[2])
	}
}

// comments returns the comments of a document as one line.
func comments(document string) string {
	var text []string
	for line := range strings.Lines(document) {
		if comment, found := strings.CutPrefix(strings.TrimSpace(line), "#"); found {
			text = append(text, strings.TrimSpace(comment))
		}
	}
	return strings.Join(text, " ")
}
