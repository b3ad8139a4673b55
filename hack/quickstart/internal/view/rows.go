// SPDX-License-Identifier: Apache-2.0

// Package view shows the ImageRepositories and ImagePolicies of a cluster to
// people: as a table that stays in place on a terminal, as lines elsewhere.
package view

import (
	"context"
	"strconv"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Row is what there is to see of one object.
type Row struct {
	// Kind is the object's kind.
	Kind string
	// Name is its namespace and name.
	Name string
	// Image is the image without a tag.
	Image string
	// Tag is the tag that a policy selected, or the number of tags that a
	// repository has.
	Tag string
	// Digest is the whole digest that a policy reflects.
	Digest string
	// Ready is the status of the Ready condition, empty where there is none.
	Ready string
	// Message is the message of that condition.
	Message string
}

// Read returns the rows of all objects in the cluster: repositories, then
// policies, each by name.
func Read(ctx context.Context, reader client.Reader) ([]Row, error) {
	var repositories v1.ImageRepositoryList
	if err := reader.List(ctx, &repositories); err != nil {
		return nil, err
	}
	var policies v1.ImagePolicyList
	if err := reader.List(ctx, &policies); err != nil {
		return nil, err
	}
	rows := make([]Row, 0, len(repositories.Items)+len(policies.Items))
	for i := range repositories.Items {
		rows = append(rows, ofRepository(&repositories.Items[i]))
	}
	for i := range policies.Items {
		rows = append(rows, ofPolicy(&policies.Items[i]))
	}
	return rows, nil
}

func ofRepository(repo *v1.ImageRepository) Row {
	row := ofObject(v1.ImageRepositoryKind, repo, repo.Status.Conditions)
	row.Image = repo.Spec.Image
	if repo.Status.LastScanResult != nil {
		row.Tag = strconv.Itoa(repo.Status.LastScanResult.TagCount)
	}
	return row
}

func ofPolicy(policy *v1.ImagePolicy) Row {
	row := ofObject(v1.ImagePolicyKind, policy, policy.Status.Conditions)
	if ref := policy.Status.LatestRef; ref != nil {
		row.Image, row.Tag, row.Digest = ref.Name, ref.Tag, ref.Digest
	}
	return row
}

func ofObject(kind string, obj client.Object, conditions []metav1.Condition) Row {
	row := Row{Kind: kind, Name: obj.GetNamespace() + "/" + obj.GetName()}
	if ready := apimeta.FindStatusCondition(conditions, meta.ReadyCondition); ready != nil {
		row.Ready, row.Message = string(ready.Status), ready.Message
	}
	return row
}
