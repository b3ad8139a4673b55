// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// target says which object is meant: [KIND/][NAMESPACE/]NAME. What is empty may
// be anything.
type target struct {
	text, kind, namespace, name string
}

// kinds are the names of the kinds, as kubectl takes them.
var kinds = map[string]string{
	"imagerepository": v1.ImageRepositoryKind, "imagerepositories": v1.ImageRepositoryKind,
	"imgrepo": v1.ImageRepositoryKind, "imagerepo": v1.ImageRepositoryKind,
	"imagepolicy": v1.ImagePolicyKind, "imagepolicies": v1.ImagePolicyKind,
	"imgpol": v1.ImagePolicyKind, "imagepol": v1.ImagePolicyKind,
}

// parseTarget parses what somebody wrote.
func parseTarget(text string) (target, error) {
	t := target{text: text}
	parts := strings.Split(text, "/")
	if kind, ok := kinds[strings.ToLower(parts[0])]; ok && len(parts) > 1 {
		t.kind, parts = kind, parts[1:]
	}
	t.name = parts[len(parts)-1]
	if len(parts) == 2 {
		t.namespace = parts[0]
	}
	if len(parts) > 2 || t.name == "" {
		return t, fmt.Errorf("'%s' names no object: write [KIND/][NAMESPACE/]NAME, such as imagerepository/samples/podinfo", text)
	}
	return t, nil
}

// targets returns the one object that an argument names, or else all of them.
func targets(ctx context.Context, cluster client.Client, args []string) ([]*unstructured.Unstructured, error) {
	all, err := everything(ctx, cluster)
	if err != nil || len(args) == 0 {
		return all, err
	}
	wanted, err := parseTarget(args[0])
	if err != nil {
		return nil, err
	}
	found, err := wanted.find(all)
	return []*unstructured.Unstructured{found}, err
}

func everything(ctx context.Context, cluster client.Client) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for _, kind := range []string{v1.ImageRepositoryKind, v1.ImagePolicyKind} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(v1.GroupVersion.WithKind(kind + "List"))
		if err := cluster.List(ctx, list); err != nil {
			return nil, err
		}
		for i := range list.Items {
			all = append(all, &list.Items[i])
		}
	}
	return all, nil
}

// find returns the object that is meant. It fails where there are several.
func (t target) find(all []*unstructured.Unstructured) (*unstructured.Unstructured, error) {
	var found *unstructured.Unstructured
	var names []string
	for _, obj := range all {
		if t.matches(obj) {
			found = obj
			names = append(names, strings.ToLower(obj.GetKind())+"/"+obj.GetNamespace()+"/"+obj.GetName())
		}
	}
	switch len(names) {
	case 0:
		return nil, fmt.Errorf("there is no %s: write [KIND/][NAMESPACE/]NAME, such as imagerepository/samples/podinfo", t.text)
	case 1:
		return found, nil
	default:
		return nil, fmt.Errorf("'%s' names several objects: choose one of %s", t.text, strings.Join(names, ", "))
	}
}

func (t target) matches(obj *unstructured.Unstructured) bool {
	return (t.kind == "" || t.kind == obj.GetKind()) &&
		(t.namespace == "" || t.namespace == obj.GetNamespace()) && t.name == obj.GetName()
}
