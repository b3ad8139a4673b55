// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/api/v1beta2"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/repository"
)

// Stdin is the file name of the standard input.
const Stdin = "-"

// Objects are the policies, repositories and Secrets of files.
type Objects struct {
	client.Reader // nil: only Get is implemented
	objects       []fileObject[client.Object]
	skippedKinds  []string
}

// fileObject is an object and its file.
type fileObject[T client.Object] struct {
	file   string
	object T
}

// ReadFiles reads the policies, repositories and Secrets of YAML or JSON files, and the items of
// lists. Unknown fields are errors; objects of other kinds are skipped.
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
		if err := objects.read(name, content); err != nil {
			return nil, Invalidf("%s: %w", name, err)
		}
	}
	return objects, nil
}

// readFile reads a file or the standard input, and removes a byte order mark.
func readFile(file string, stdin io.Reader) ([]byte, error) {
	read := func() ([]byte, error) { return os.ReadFile(file) } //nolint:gosec // G304: the user names the file
	if file == Stdin {
		read = func() ([]byte, error) { return io.ReadAll(stdin) }
	}
	content, err := read()
	return bytes.TrimPrefix(content, []byte("\ufeff")), err
}

// read reads the documents of a file.
func (o *Objects) read(file string, content []byte) error {
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

// decoder decodes Secrets, policies, repositories and lists, in YAML and JSON. Unknown and
// duplicate fields are errors. Both versions of the API have the same schema.
var decoder = func() runtime.Decoder {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Secret{}, &corev1.List{})
	for _, version := range versions {
		scheme.AddKnownTypes(version, &v1.ImagePolicy{}, &v1.ImageRepository{})
		scheme.AddKnownTypeWithName(version.WithKind(v1.ImagePolicyKind+"List"), &corev1.List{})
		scheme.AddKnownTypeWithName(version.WithKind(v1.ImageRepositoryKind+"List"), &corev1.List{})
	}
	options := kjson.SerializerOptions{Yaml: true, Strict: true}
	return kjson.NewSerializerWithOptions(kjson.DefaultMetaFactory, scheme, scheme, options)
}()

// versions are the versions of the API.
var versions = []schema.GroupVersion{v1.GroupVersion, v1beta2.GroupVersion}

// decode decodes a document or an item of a list.
func (o *Objects) decode(file string, document []byte) error {
	object, kind, err := decoder.Decode(document, &schema.GroupVersionKind{Version: "v1"}, nil) // the version of a List may be missing
	if strict, found := runtime.AsStrictDecodingError(err); found {
		err = errors.Join(strict.Errors()...)
	}
	err = describeTypes(err, document)
	if kind == nil {
		return err
	}
	switch secret, decoded := object.(*corev1.Secret); {
	case decoded || kind.Group == "" && kind.Kind == "Secret": // an encrypted Secret is not an error
		o.skippedKinds = append(o.skippedKinds, kind.Kind)
		o.addSecret(file, secret)
		return nil
	case runtime.IsMissingKind(err):
		if content, _ := yaml.YAMLToJSON(document); string(content) != "null" { // blank document
			o.skippedKinds = append(o.skippedKinds, "an object without a kind")
		}
		return nil
	case runtime.IsNotRegisteredError(err):
		return o.skip(kind)
	case err != nil:
		return err
	}
	return o.add(file, object)
}

// skip records an object of another kind. It returns an error for unknown kinds of this API.
func (o *Objects) skip(kind *schema.GroupVersionKind) error {
	switch version := kind.GroupVersion(); {
	case kind.Group != v1.GroupVersion.Group:
		o.skippedKinds = append(o.skippedKinds, kind.Kind)
		return nil
	case !slices.Contains(versions, version):
		return fmt.Errorf("there is no apiVersion %q: write %q or %q", version, v1.GroupVersion, v1beta2.GroupVersion)
	default:
		return fmt.Errorf("there is no kind %q in %s: write %q or %q", kind.Kind, version, v1.ImagePolicyKind, v1.ImageRepositoryKind)
	}
}

// add stores an object or the items of a list.
func (o *Objects) add(file string, object runtime.Object) error {
	switch object := object.(type) {
	case *corev1.List:
		for i, item := range object.Items {
			if err := o.decode(file, item.Raw); err != nil {
				return fmt.Errorf("items[%d]: %w", i, err)
			}
		}
	case client.Object:
		o.objects = append(o.objects, fileObject[client.Object]{file: file, object: object})
	}
	return nil
}

// addSecret stores a Secret; nil is ignored.
func (o *Objects) addSecret(file string, secret *corev1.Secret) {
	if secret == nil {
		return
	}
	for name, text := range secret.StringData { // the API server does the same
		if secret.Data == nil {
			secret.Data = map[string][]byte{}
		}
		secret.Data[name] = []byte(text)
	}
	o.objects = append(o.objects, fileObject[client.Object]{file: file, object: secret})
}

// Case returns the policy with a name, or the only one if name is empty, and the repository that
// it refers to. If the files contain no repository, it makes one for the image, which may be empty.
func (o *Objects) Case(name, namespace, image string) (*explain.Case, error) {
	policy, err := o.policy(name, namespace)
	if err != nil {
		return nil, err
	}
	c := &explain.Case{Policy: policy.object, PolicyFile: policy.file}
	key := repository.KeyOf(policy.object)
	repositories, names := named[*v1.ImageRepository](o, key.Name, key.Namespace)
	switch {
	case policy.object.Spec.ImageRepositoryRef.Name == "":
		return nil, Invalidf("%s: ImagePolicy '%s': spec.imageRepositoryRef.name is missing", policy.file, policy.object.Name)
	case len(names) == 0:
		c.Repository = &v1.ImageRepository{Spec: v1.ImageRepositorySpec{Image: image}}
		return c, nil
	case image != "":
		return nil, Invalidf("--image is for files without an ImageRepository: leave it out, or change spec.image")
	case len(repositories) == 0:
		return nil, Invalidf("%s: ImagePolicy '%s' refers to the ImageRepository '%s', but the files hold %s",
			policy.file, policy.object.Name, key.Name, strings.Join(names, ", "))
	case len(repositories) > 1:
		return nil, Invalidf("%s: ImagePolicy '%s' may refer to the ImageRepository '%s' in %s or to that in %s: "+
			"leave one of them out, or set the namespaces", policy.file, policy.object.Name, key.Name, repositories[0].file, repositories[1].file)
	}
	c.Repository, c.RepositoryFile = repositories[0].object, repositories[0].file
	return c, nil
}

// named returns the objects of a type with a name (any if empty) that may be in a namespace, and
// the names of all objects of that type.
func named[T client.Object](o *Objects, name, namespace string) ([]fileObject[T], []string) {
	var matches []fileObject[T]
	var names []string
	for _, f := range o.objects {
		object, ok := f.object.(T)
		if !ok {
			continue
		}
		names = append(names, qualified(object))
		if (name == "" || object.GetName() == name) && sameNamespace(object.GetNamespace(), namespace) {
			matches = append(matches, fileObject[T]{file: f.file, object: object})
		}
	}
	return matches, names
}

func (o *Objects) policy(name, namespace string) (fileObject[*v1.ImagePolicy], error) {
	policies, names := named[*v1.ImagePolicy](o, name, namespace)
	several := slices.ContainsFunc(policies, func(p fileObject[*v1.ImagePolicy]) bool {
		return qualified(p.object) != qualified(policies[0].object)
	})
	var err error
	switch {
	case len(policies) == 1:
		return policies[0], nil
	case len(names) == 0:
		err = Invalidf("the files hold no ImagePolicy%s", o.skipped())
	case len(policies) == 0:
		err = Invalidf("the files hold no such ImagePolicy, but %s", strings.Join(names, ", "))
	case several:
		err = Invalidf("the files hold several ImagePolicies, name one of them: %s", strings.Join(names, ", "))
	default:
		err = Invalidf("ImagePolicy '%s' is there twice, in %s and in %s: leave one of them out",
			qualified(policies[0].object), policies[0].file, policies[1].file)
	}
	return fileObject[*v1.ImagePolicy]{}, err
}

// qualified returns the name of an object, prefixed with its namespace if it has one.
func qualified(object client.Object) string {
	return strings.TrimPrefix(object.GetNamespace()+"/"+object.GetName(), "/")
}

// skipped returns the kinds of the skipped objects, as a continuation of an error.
func (o *Objects) skipped() string {
	if len(o.skippedKinds) == 0 {
		return ""
	}
	slices.Sort(o.skippedKinds)
	return ", but " + strings.Join(slices.Compact(o.skippedKinds), ", ")
}

// sameNamespace reports whether two namespaces can be the same; files often omit them.
func sameNamespace(a, b string) bool { return a == "" || b == "" || a == b }
