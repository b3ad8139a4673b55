// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// sampleImage is an image that the samples need.
type sampleImage struct {
	repository, tag string
	// content determines the digest; the tag if empty.
	content string
	// architectures: if set, it is an index with an image for each.
	architectures []string
	// envelope: if set, it is the attestation of an image.
	envelope []byte
}

// reference returns REPOSITORY:TAG.
func (i sampleImage) reference() string { return i.repository + ":" + i.tag }

// artifact makes the image.
func (i sampleImage) artifact() (testenv.Artifact, error) {
	content := i.repository + " " + cmp.Or(i.content, i.tag)
	if i.envelope != nil {
		return testenv.Attestation(i.envelope)
	}
	if len(i.architectures) > 0 {
		return testenv.Index(content, i.architectures...)
	}
	return testenv.Image(content)
}

// provenance attests payments:1.0.0. It was made by cosign 3.1 with a key that was deleted:
//
//	cosign attest --key=cosign.key --type=slsaprovenance1 --predicate=FILE --new-bundle-format=false \
//	  --tlog-upload=false --use-signing-config=false --allow-http-registry HOST/payments@DIGEST
//
//go:embed provenance.json
var provenance []byte

// newestBuild is the tag to whose image webapp:latest also points.
const newestBuild = "main-0c5d8e1-1767398400"

// sampleImages are the images of the samples. They are not in the order of the policies.
var sampleImages = []sampleImage{
	{repository: "podinfo", tag: "1.0.0"},
	{repository: "podinfo", tag: "1.10.0", architectures: []string{"amd64", "arm64"}},
	{repository: "podinfo", tag: "1.10.0-debug"},
	{repository: "podinfo", tag: "1.9.0"},
	{repository: "podinfo", tag: "2.0.0-rc.1"},
	{repository: "podinfo", tag: "sha256-6d7a2b7d6a1c5b0f1f0e9f5f4f8c0f7a3f1f2d6f5b9d8b1f2a3c4d5e6f708192.sig"},

	{repository: "webapp", tag: "main-9b0e7d3-1767225600"},
	{repository: "webapp", tag: newestBuild, content: newestBuild},
	{repository: "webapp", tag: "main-4f1c2aa-1767312000"},
	{repository: "webapp", tag: "login-page-7aa2e90-1767484800"},
	{repository: "webapp", tag: "latest", content: newestBuild},

	{repository: "warehouse", tag: "RELEASE.2026-03-01T08-30-00Z"},
	{repository: "warehouse", tag: "RELEASE.2026-05-01T10-00-00Z"},
	{repository: "warehouse", tag: "nightly"},

	{repository: "k3s", tag: "latest"},
	{repository: "k3s", tag: "v1.30.1-k3s10"},
	{repository: "k3s", tag: "v1.30.1-k3s2"},
	{repository: "k3s", tag: "v1.30.2-rc1-k3s1"},

	{repository: "payments", tag: "1.0.0"},
	{repository: "payments", tag: "1.1.0"},
	{repository: "payments", tag: "sha256-4fccff1b07c1025c9cfe987e5a5eae5478e9ed184744b44aef66cf8d635952a8.att", envelope: provenance},

	{repository: private, tag: "v1.9.4"},
	{repository: private, tag: "v2.3.1"},
	{repository: private, tag: "v2.0.0"},
	{repository: private, tag: "v3.0.0-beta.1"},
}

// private is the repository in the registry that requires a password.
const private = "billing"

// pushSamples pushes the images, and returns their digests by reference.
func pushSamples(
	ctx context.Context, push func(context.Context, sampleImage, testenv.Artifact) (string, error),
) (map[string]string, error) {
	digests := make(map[string]string, len(sampleImages))
	for _, image := range sampleImages {
		artifact, err := image.artifact()
		if err != nil {
			return nil, fmt.Errorf("%s could not be created: %w", image.reference(), err)
		}
		if digests[image.reference()], err = push(ctx, image, artifact); err != nil {
			return nil, err
		}
	}
	return digests, nil
}

// expected returns the expected result of each sample, for the given digests of the images. A new
// sample needs a line here.
func (s state) expected(digests map[string]string) []row {
	repository := func(name, tags string) row {
		return row{kind: v1.ImageRepositoryKind, name: "samples/" + name, image: s.registry(name).Image(name), tag: tags}
	}
	policy := func(name, repository, tag string) row {
		return row{kind: v1.ImagePolicyKind, name: name, image: s.registry(repository).Image(repository), tag: tag}
	}
	reflecting := func(r row, reference string) row {
		r.digest = digests[reference]
		return r
	}
	return []row{
		repository(private, "4"),
		repository("k3s", "4"),
		repository("payments", "2"),
		repository("podinfo", "4"),
		repository("warehouse", "3"),
		repository("webapp", "5"),

		policy("samples-preview/podinfo", "podinfo", "2.0.0-rc.1"),
		policy("samples/billing", private, "v2.3.1"),
		policy("samples/k3s", "k3s", "v1.30.1-k3s10"),
		reflecting(policy("samples/payments", "payments", "1.0.0"), "payments:1.0.0"),
		reflecting(policy("samples/podinfo", "podinfo", "1.10.0"), "podinfo:1.10.0"),
		policy("samples/warehouse", "warehouse", "RELEASE.2026-05-01T10-00-00Z"),
		reflecting(policy("samples/webapp-latest", "webapp", "latest"), "webapp:latest"),
		policy("samples/webapp-main", "webapp", newestBuild),
	}
}

// unmet describes the differences between rows and the expected ones. It is empty when every sample
// has resolved.
func unmet(rows, expected []row) []string {
	var unmet []string
	unexpected := map[string]row{}
	for _, r := range rows {
		unexpected[r.key()] = r
	}
	for _, want := range expected {
		got, exists := unexpected[want.key()]
		delete(unexpected, want.key())
		switch {
		case !exists:
			unmet = append(unmet, want.key()+" does not exist")
		case got.ready != "True":
			unmet = append(unmet, fmt.Sprintf("%s is not ready: %q", want.key(), got.message))
		default:
			for _, field := range []struct{ name, got, want string }{
				{"image", got.image, want.image}, {"tag", got.tag, want.tag}, {"digest", got.digest, want.digest},
			} {
				if field.got != field.want {
					unmet = append(unmet, fmt.Sprintf("%s has the %s '%s', want '%s'", want.key(), field.name, field.got, field.want))
				}
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(unexpected)) {
		unmet = append(unmet, key+" is a sample without an expected result: add it to the rows in hack/quickstart/samples.go")
	}
	return unmet
}

// sampleRegistry is the template of registry.yaml, in which users configure their registries.
const sampleRegistry = `apiVersion: samples.local/v1
kind: SampleRegistry
metadata: {name: registry, annotations: {config.kubernetes.io/local-config: "true"}}
spec: {host: %q, privateHost: %q, insecure: true}
`

// applySamples applies a copy of the samples with the registries of the run, and creates the
// credentials of the private one.
func (s *session) applySamples(ctx context.Context) error {
	run, samples := s.state(), filepath.Join(s.slot.dir, "samples")
	if err := os.CopyFS(samples, os.DirFS(filepath.Join(s.root, "config/samples"))); err != nil {
		return err
	}
	registry := fmt.Sprintf(sampleRegistry, run.PublicHost, run.PrivateHost)
	if err := os.WriteFile(filepath.Join(samples, "registry.yaml"), []byte(registry), 0o644); err != nil {
		return err
	}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy // namespaces first
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), samples)
	if err != nil {
		return err
	}
	for _, resource := range resources.Resources() {
		if err := s.applySample(ctx, resource); err != nil {
			return fmt.Errorf("%s %s: %w", resource.GetKind(), resource.GetName(), err)
		}
	}
	return s.cluster.Create(ctx, run.credentials())
}

// applySample applies an object as kubectl apply --server-side does.
func (s *session) applySample(ctx context.Context, object json.Marshaler) error {
	content, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	var sample unstructured.Unstructured
	if err := sample.UnmarshalJSON(content); err != nil {
		return err
	}
	return s.cluster.Apply(ctx, client.ApplyConfigurationFromUnstructured(&sample), client.FieldOwner("quickstart"))
}

// credentials returns the Secret of the private registry, as "kubectl create secret
// docker-registry" creates it.
func (s state) credentials() *corev1.Secret {
	config := fmt.Sprintf(`{"auths": {%q: {"username": %q, "password": %q}}}`, s.PrivateHost, s.Username, s.Password)
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "samples", Name: "billing-registry"},
		Type:       corev1.SecretTypeDockerConfigJson,
		StringData: map[string]string{corev1.DockerConfigJsonKey: config},
	}
}
