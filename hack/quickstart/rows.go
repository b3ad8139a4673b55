// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strconv"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// row is the row of one object.
type row struct {
	kind string
	// name is NAMESPACE/NAME.
	name string
	// image is the image without a tag.
	image string
	// tag is the selected tag of a policy, or the number of tags of a repository.
	tag string
	// digest is the reflected digest of a policy.
	digest string
	// ready and message are those of the Ready condition, empty if there is none.
	ready, message string
}

func (r row) key() string { return r.kind + " " + r.name }

// shortDigest returns the first 12 hex digits of the digest, after its algorithm.
func (r row) shortDigest() string {
	const length = len("sha256:") + 12
	return r.digest[:min(len(r.digest), length)]
}

// listObjects returns all repositories of the cluster, then all policies, both sorted by name.
func listObjects(ctx context.Context, reader client.Reader) ([]conditions.Getter, error) {
	var repositories v1.ImageRepositoryList
	if err := reader.List(ctx, &repositories); err != nil {
		return nil, err
	}
	var policies v1.ImagePolicyList
	if err := reader.List(ctx, &policies); err != nil {
		return nil, err
	}
	var objects []conditions.Getter
	for i := range repositories.Items {
		objects = append(objects, &repositories.Items[i])
	}
	for i := range policies.Items {
		objects = append(objects, &policies.Items[i])
	}
	return objects, nil
}

func rowOf(obj conditions.Getter) row {
	r := row{name: obj.GetNamespace() + "/" + obj.GetName()}
	switch obj := obj.(type) {
	case *v1.ImageRepository:
		r.kind, r.image = v1.ImageRepositoryKind, obj.Spec.Image
		if scan := obj.Status.LastScanResult; scan != nil {
			r.tag = strconv.Itoa(scan.TagCount)
		}
	case *v1.ImagePolicy:
		r.kind = v1.ImagePolicyKind
		if ref := obj.Status.LatestRef; ref != nil {
			r.image, r.tag, r.digest = ref.Name, ref.Tag, ref.Digest
		}
	}
	if ready := conditions.Get(obj, meta.ReadyCondition); ready != nil {
		r.ready, r.message = string(ready.Status), ready.Message
	}
	return r
}
