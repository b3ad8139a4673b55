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

// rolesOfController are the files that say what the controller may do.
var rolesOfController = []string{"config/rbac/role.yaml", "config/rbac/leader_election_role.yaml"}

// rare are permissions that only a race makes use of, which tests don't win each
// time: a status that somebody else has written meanwhile is read anew.
var rare = map[string]bool{"get image.toolkit.fluxcd.io imagepolicies": true}

// checkPermissions expects that all tests together have used every permission of
// the controller. That none is missing, each of them shows: they run with these
// and no others.
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
	for _, file := range rolesOfController {
		granted, err := permissionsGranted(filepath.Join(root, file))
		if err != nil {
			return err
		}
		for _, permission := range granted {
			if !used[permission] && !used[insteadOf(permission)] && !rare[permission] {
				unused = append(unused, file+": "+permission)
			}
		}
	}
	if len(unused) > 0 {
		return fmt.Errorf("no test has the controller use these permissions, test what needs them or take them back:\n\t%s", strings.Join(unused, "\n\t"))
	}
	return nil
}

// insteadOf returns the permission that is used in place of another one. A watch
// begins with what a list would say, and API servers that can't do that, such as
// older ones, are asked for a list.
func insteadOf(permission string) string {
	if what, list := strings.CutPrefix(permission, "list "); list {
		return "watch " + what
	}
	return permission
}

// permissionsGranted returns the permissions of a role, each such as
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
	var all []string
	for _, rule := range role.Rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					all = append(all, verb+" "+group+" "+resource)
				}
			}
		}
	}
	return all, nil
}

// permissionsUsed returns what the controller has asked for and was given, by
// the log of the API server.
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
			// The API server says here which rules let a request pass.
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

// controllerUser is who the controller is to the API server.
const controllerUser = "system:serviceaccount:" + testenv.Namespace + ":image-reflector-controller"
