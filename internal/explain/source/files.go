// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/api/v1beta2"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/repository"
)

// Stdin is the name of the standard input in place of a file's.
const Stdin = "-"

// Objects are the policies, the repositories and the Secrets of some files.
type Objects struct {
	policies     []found[v1.ImagePolicy]
	repositories []found[v1.ImageRepository]
	secrets      []found[corev1.Secret]
	others       []string // kinds
}

// found is an object and where it was found.
type found[T any] struct {
	file   string
	object *T
}

// ReadFiles reads the policies, repositories and Secrets of YAML or JSON files. Fields
// that do not exist are errors; objects of other kinds are skipped. Lists, as
// kubectl prints them, count as what is in them.
func ReadFiles(files []string, stdin io.Reader) (*Objects, error) {
	objects := &Objects{}
	for _, file := range files {
		content, err := readFile(file, stdin)
		if err != nil {
			return nil, Invalid(err)
		}
		name := file
		if file == Stdin {
			name = "standard input"
		}
		if err := objects.add(name, content); err != nil {
			return nil, Invalidf("%s: %w", name, err)
		}
	}
	return objects, nil
}

// readFile reads a file, or the standard input, without the mark that some editors
// begin a text with.
func readFile(file string, stdin io.Reader) ([]byte, error) {
	read := func() ([]byte, error) { return os.ReadFile(file) } //nolint:gosec // G304: the user says which file
	if file == Stdin {
		read = func() ([]byte, error) { return io.ReadAll(stdin) }
	}
	content, err := read()
	return bytes.TrimPrefix(content, []byte("\ufeff")), err
}

// add reads the documents of a file.
func (o *Objects) add(file string, content []byte) error {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for number := 1; ; number++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = o.decode(file, document)
		}
		if err != nil {
			return fmt.Errorf("document %d: %w", number, err)
		}
	}
}

// decode reads a document.
func (o *Objects) decode(file string, document []byte) error {
	var kind *metav1.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil || kind == nil { // a document may be blank
		return err
	}
	gvk := schema.FromAPIVersionAndKind(kind.APIVersion, kind.Kind)
	if isList(gvk) {
		return o.decodeItems(file, document)
	}
	if gvk.Group == "" && gvk.Version == "v1" && gvk.Kind == "Secret" {
		o.others = append(o.others, gvk.Kind)
		o.addSecret(file, document)
		return nil
	}
	if gvk.Group != v1.GroupVersion.Group {
		o.others = append(o.others, cmp.Or(kind.Kind, "an object without a kind"))
		return nil
	}
	if gvk.Version != v1.GroupVersion.Version && gvk.Version != v1beta2.GroupVersion.Version {
		return fmt.Errorf("there is no apiVersion %q: write %q or %q", kind.APIVersion, v1.GroupVersion, v1beta2.GroupVersion)
	}
	switch gvk.Kind { // both versions have the same schema
	case v1.ImagePolicyKind:
		return appendDecoded(&o.policies, file, document)
	case v1.ImageRepositoryKind:
		return appendDecoded(&o.repositories, file, document)
	default:
		return fmt.Errorf("there is no kind %q in %s: write %q or %q", gvk.Kind, kind.APIVersion, v1.ImagePolicyKind, v1.ImageRepositoryKind)
	}
}

// addSecret keeps a Secret that can be read. Others may be encrypted, and are nobody's
// mistake.
func (o *Objects) addSecret(file string, document []byte) {
	secret := &corev1.Secret{}
	if yaml.Unmarshal(document, secret) == nil {
		for name, text := range secret.StringData { // as the API server does
			if secret.Data == nil {
				secret.Data = map[string][]byte{}
			}
			secret.Data[name] = []byte(text)
		}
		o.secrets = append(o.secrets, found[corev1.Secret]{file: file, object: secret})
	}
}

// isList reports whether an object is a list, as kubectl and the API print them.
func isList(gvk schema.GroupVersionKind) bool {
	switch gvk.Kind {
	case "List":
		return gvk.Group == ""
	case v1.ImagePolicyKind + "List", v1.ImageRepositoryKind + "List":
		return gvk.Group == v1.GroupVersion.Group
	}
	return false
}

// decodeItems reads the objects of a list.
func (o *Objects) decodeItems(file string, document []byte) error {
	content, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return err
	}
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(content, &list); err != nil {
		return err
	}
	for i, item := range list.Items {
		if err := o.decode(file, item); err != nil {
			return fmt.Errorf("items[%d]: %w", i, err)
		}
	}
	return nil
}

func appendDecoded[T any](to *[]found[T], file string, document []byte) error {
	content, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return err
	}
	object := new(T)
	mistakes, err := kjson.UnmarshalStrict(content, object)
	if err := errors.Join(append(mistakes, err)...); err != nil {
		return err
	}
	*to = append(*to, found[T]{file: file, object: object})
	return nil
}

// Case returns the policy of a name, any where it is empty, and the repository
// that it refers to. Where the files hold no repository, that is one of the
// image, which may be empty.
func (o *Objects) Case(name, namespace, image string) (*explain.Case, error) {
	policy, err := o.policy(name, namespace)
	if err != nil {
		return nil, err
	}
	c := &explain.Case{Policy: policy.object, PolicyFile: policy.file}
	switch {
	case policy.object.Spec.ImageRepositoryRef.Name == "":
		return nil, Invalidf("%s: ImagePolicy '%s': spec.imageRepositoryRef.name is missing", policy.file, policy.object.Name)
	case len(o.repositories) == 0:
		c.Repository = &v1.ImageRepository{Spec: v1.ImageRepositorySpec{Image: image}}
		return c, nil
	case image != "":
		return nil, Invalidf("--image is for files without an ImageRepository: leave it out, or change spec.image")
	}
	repo, err := o.repository(policy)
	if err != nil {
		return nil, err
	}
	c.Repository, c.RepositoryFile = repo.object, repo.file
	return c, nil
}

func (o *Objects) policy(name, namespace string) (found[v1.ImagePolicy], error) {
	var named []found[v1.ImagePolicy]
	var names []string
	for _, policy := range o.policies {
		names = append(names, qualified(policy))
		if (name == "" || policy.object.Name == name) && agree(policy.object.Namespace, namespace) {
			named = append(named, policy)
		}
	}
	switch {
	case len(named) == 1:
		return named[0], nil
	case len(o.policies) == 0:
		return found[v1.ImagePolicy]{}, Invalidf("the files hold no ImagePolicy%s", o.skipped())
	case len(named) == 0:
		return found[v1.ImagePolicy]{}, Invalidf("the files hold no such ImagePolicy, but %s", strings.Join(names, ", "))
	case ambiguous(named):
		return found[v1.ImagePolicy]{}, Invalidf("ImagePolicy '%s' is there twice, in %s and in %s: leave one of them out",
			qualified(named[0]), named[0].file, named[1].file)
	default:
		return found[v1.ImagePolicy]{}, Invalidf("the files hold several ImagePolicies, name one of them: %s", strings.Join(names, ", "))
	}
}

// qualified returns the name of a policy, with its namespace where it has one.
func qualified(policy found[v1.ImagePolicy]) string {
	return strings.TrimPrefix(policy.object.Namespace+"/"+policy.object.Name, "/")
}

// ambiguous reports whether no name tells the policies apart.
func ambiguous(policies []found[v1.ImagePolicy]) bool {
	return !slices.ContainsFunc(policies, func(p found[v1.ImagePolicy]) bool { return qualified(p) != qualified(policies[0]) })
}

// skipped says what else the files hold.
func (o *Objects) skipped() string {
	if len(o.others) == 0 {
		return ""
	}
	slices.Sort(o.others)
	return ", but " + strings.Join(slices.Compact(o.others), ", ")
}

func (o *Objects) repository(policy found[v1.ImagePolicy]) (found[v1.ImageRepository], error) {
	key := repository.Of(policy.object)
	var names []string
	var meant []found[v1.ImageRepository]
	for _, repo := range o.repositories {
		if repo.object.Name == key.Name && agree(repo.object.Namespace, key.Namespace) {
			meant = append(meant, repo)
		}
		names = append(names, repo.object.Name)
	}
	switch len(meant) {
	case 0:
	case 1:
		return meant[0], nil
	default:
		return found[v1.ImageRepository]{}, Invalidf("%s: ImagePolicy '%s' may refer to the ImageRepository '%s' in %s or to that in %s: "+
			"leave one of them out, or set the namespaces", policy.file, policy.object.Name, key.Name, meant[0].file, meant[1].file)
	}
	return found[v1.ImageRepository]{}, Invalidf("%s: ImagePolicy '%s' refers to the ImageRepository '%s', but the files hold %s",
		policy.file, policy.object.Name, key.Name, strings.Join(names, ", "))
}

// agree reports whether two namespaces can be the same. Files often leave them
// to whoever applies the objects.
func agree(a, b string) bool { return a == "" || b == "" || a == b }
