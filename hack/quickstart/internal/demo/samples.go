// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// Hosts are the hosts and ports of the two registries.
type Hosts struct {
	Public, Private string
}

func (h Hosts) image(repository string) string {
	if Private(repository) {
		return h.Private + "/" + repository
	}
	return h.Public + "/" + repository
}

// Build returns the objects of the samples in a folder, with images of other
// registries than the samples name. The way to that is the one which the samples
// give to their users, on a copy of them: registry.yaml is written anew.
func Build(samples, scratch string, hosts Hosts) ([]*unstructured.Unstructured, error) {
	if err := os.CopyFS(scratch, os.DirFS(samples)); err != nil {
		return nil, err
	}
	if err := setHosts(filepath.Join(scratch, "registry.yaml"), hosts); err != nil {
		return nil, err
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), scratch)
	if err != nil {
		return nil, fmt.Errorf("the samples can't be built: %w", err)
	}
	var objects []*unstructured.Unstructured
	for _, resource := range resources.Resources() {
		content, err := resource.Map()
		if err != nil {
			return nil, err
		}
		objects = append(objects, &unstructured.Unstructured{Object: content})
	}
	return objects, nil
}

func setHosts(file string, hosts Hosts) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	registry := map[string]any{}
	if err := yaml.Unmarshal(content, &registry); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	registry["spec"] = map[string]any{"host": hosts.Public, "privateHost": hosts.Private, "insecure": true}
	if content, err = yaml.Marshal(registry); err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o644)
}

// Apply applies the objects to the cluster.
func Apply(ctx context.Context, cluster client.Client, objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		err := cluster.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("quickstart"), client.ForceOwnership)
		if err != nil {
			return fmt.Errorf("%s %s/%s could not be applied: %w", object.GetKind(), object.GetNamespace(), object.GetName(), err)
		}
	}
	return nil
}

// Credentials returns the Secret that the sample of the private registry refers
// to, as "kubectl create secret docker-registry" makes it.
func Credentials(host, username, password string) (*corev1.Secret, error) {
	config, err := json.Marshal(map[string]any{
		"auths": map[string]any{host: map[string]string{"username": username, "password": password}},
	})
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "samples", Name: "billing-registry"},
		Type:       corev1.SecretTypeDockerConfigJson,
		Data:       map[string][]byte{corev1.DockerConfigJsonKey: config},
	}, err
}
