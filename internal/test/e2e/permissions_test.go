// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// roleFiles are the files with the permissions of the controller.
var roleFiles = []string{"config/rbac/role.yaml", "config/rbac/leader_election_role.yaml"}

// rare are permissions that the controller uses only after a conflict, when it reads the status
// again. Tests don't cause one reliably.
var rare = map[string]bool{"get image.toolkit.fluxcd.io imagepolicies": true}

// checkPermissions expects that the tests together use every permission of the controller. None is
// missing, since the controller has no others in the tests.
func checkPermissions(auditLog string) error {
	used, err := permissionsUsed(auditLog)
	if err != nil {
		return err
	}
	root, err := testenv.Root()
	if err != nil {
		return err
	}
	var unused []string
	for _, file := range roleFiles {
		granted, err := permissionsGranted(filepath.Join(root, file))
		if err != nil {
			return err
		}
		for _, permission := range granted {
			if !used[permission] && !used[substituteControllerFor(permission)] && !rare[permission] {
				unused = append(unused, file+": "+permission)
			}
		}
	}
	if len(unused) > 0 {
		return fmt.Errorf("no test makes the controller use these permissions: test what needs them, or remove them:\n\t%s", strings.Join(unused, "\n\t"))
	}
	return nil
}

// substituteControllerFor returns the permission that is used in place of another one. A watch starts with
// the current objects; list is needed only for older API servers that don't support that.
func substituteControllerFor(permission string) string {
	if resource, list := strings.CutPrefix(permission, "list "); list {
		return "watch " + resource
	}
	return permission
}

// permissionsGranted returns the permissions of a role, such as
// "patch image.toolkit.fluxcd.io imagepolicies/status".
func permissionsGranted(file string) ([]string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var role rbacv1.ClusterRole // a Role has the same rules
	if err := yaml.Unmarshal(content, &role); err != nil {
		return nil, err
	}
	var permissions []string
	for _, rule := range role.Rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					permissions = append(permissions, verb+" "+group+" "+resource)
				}
			}
		}
	}
	return permissions, nil
}

// permissionsUsed returns the permissions of the allowed requests of the controller in the audit
// log.
func permissionsUsed(auditLog string) (map[string]bool, error) {
	file, err := os.Open(auditLog)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	used := map[string]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct {
			Verb      string
			User      struct{ Username string }
			ObjectRef struct{ APIGroup, Resource, Subresource string }
			// The annotations include the authorization decision.
			Annotations map[string]string
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, err
		}
		if event.User.Username != controllerUser || event.Annotations["authorization.k8s.io/decision"] != "allow" {
			continue
		}
		resource := strings.Join(slices.DeleteFunc([]string{event.ObjectRef.Resource, event.ObjectRef.Subresource},
			func(part string) bool { return part == "" }), "/")
		used[event.Verb+" "+event.ObjectRef.APIGroup+" "+resource] = true
	}
	return used, lines.Err()
}

// controllerUser is the user name of the controller.
const controllerUser = "system:serviceaccount:" + testenv.Namespace + ":image-reflector-controller"
