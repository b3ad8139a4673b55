// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

// Namespace is where the controller is said to run, as in a Flux installation.
const Namespace = "flux-system"

const (
	// account is the name of the controller's service account.
	account = "image-reflector-controller"
	// controllerUser is what the API server calls it.
	controllerUser = "system:serviceaccount:" + Namespace + ":" + account
	// grant is the name of its role and binding. They are not those of make
	// deploy and make undeploy, which may be run against the same cluster.
	grant = "image-reflector-controller-testenv"
)

// ControllerAccount lets the controller do what the ClusterRole in a file says, and no
// more: what it may do in a cluster. It returns the kubeconfig of it. Called again, it
// brings the role to what the file says then.
func (p *ControlPlane) ControllerAccount(ctx context.Context, roleFile string) (string, error) {
	admin, err := client.New(p.Config(), client.Options{})
	if err != nil {
		return "", err
	}
	if err := bind(ctx, admin, roleFile); err != nil {
		return "", fmt.Errorf("the controller's account could not be set up: %w", err)
	}
	user, err := p.env.AddUser(envtest.User{Name: controllerUser, Groups: []string{"system:serviceaccounts", "system:authenticated"}}, nil)
	if err != nil {
		return "", err
	}
	content, err := user.KubeConfig()
	if err != nil {
		return "", err
	}
	file := filepath.Join(p.Dir, account+".kubeconfig")
	return file, os.WriteFile(file, content, 0o600)
}

func bind(ctx context.Context, admin client.Client, roleFile string) error {
	content, err := os.ReadFile(roleFile)
	if err != nil {
		return err
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict(content, role); err != nil {
		return fmt.Errorf("%s: %w", roleFile, err)
	}
	role.Name = grant
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: grant},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: grant},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: controllerUser}},
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}
	for _, obj := range []client.Object{namespace, role, binding} {
		err := admin.Create(ctx, obj)
		if apierrors.IsAlreadyExists(err) {
			err = admin.Update(ctx, obj)
		}
		if err != nil {
			return err
		}
	}
	return awaitAccess(ctx, admin)
}

// awaitAccess returns when the API server knows of the role. It learns of it by
// a watch, and a controller that starts before that has a bad start.
func awaitAccess(ctx context.Context, admin client.Client) error {
	return wait.PollUntilContextTimeout(ctx, pollInterval, 10*time.Second, true, func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: controllerUser,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Group: "image.toolkit.fluxcd.io", Resource: "imagepolicies", Verb: "watch",
			},
		}}
		err := admin.Create(ctx, review)
		return review.Status.Allowed, err
	})
}
