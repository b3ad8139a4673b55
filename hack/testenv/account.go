// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"errors"
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

// Namespace is the namespace of the controller, as in a Flux installation.
const Namespace = "flux-system"

const (
	// account is the name of the controller's service account.
	account = "image-reflector-controller"
	// controllerUser is its user name.
	controllerUser = "system:serviceaccount:" + Namespace + ":" + account
	// roleName is the name of the role and the binding of the controller's account. It differs from that of make deploy and
	// make undeploy, which may be run against the same cluster.
	roleName = "image-reflector-controller-testenv"
)

// ControllerAccount creates a user for the controller with the permissions of the ClusterRole
// in a file, and returns the path of its kubeconfig. A second call updates the role.
func (p *ControlPlane) ControllerAccount(ctx context.Context, roleFile string) (string, error) {
	admin, err := client.New(p.Config(), client.Options{})
	if err != nil {
		return "", err
	}
	if err := bind(ctx, admin, roleFile); err != nil {
		return "", fmt.Errorf("setting up the controller's account: %w", err)
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
	role.Name = roleName
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: roleName},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: roleName},
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

// awaitAccess waits until the API server applies the role, which it receives through a watch.
// A controller started earlier would log authorization errors.
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

// AllowLeaderElection grants all service accounts the Role of a file, in the namespace of the
// controller.
func AllowLeaderElection(ctx context.Context, admin client.Client, roleFile string) error {
	content, err := os.ReadFile(roleFile)
	if err != nil {
		return err
	}
	role := &rbacv1.Role{}
	if err := yaml.UnmarshalStrict(content, role); err != nil {
		return fmt.Errorf("%s: %w", roleFile, err)
	}
	role.Namespace = Namespace
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:serviceaccounts"}},
	}
	return errors.Join(admin.Create(ctx, role), admin.Create(ctx, binding))
}
