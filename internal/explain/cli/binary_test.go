// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// run is one run of the real binary.
type run struct {
	// name is the name of the binary; empty for that of the controller.
	name  string
	args  []string
	stdin string
	env   []string
}

// commandResult is the outcome of a run.
type commandResult struct {
	out, err string
	code     int
}

// binary returns the path of the binary.
func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv(testenv.ControllerVariable)
	NewWithT(t).Expect(path).NotTo(BeEmpty(), "%s is not set, but this test needs the controller: run make test", testenv.ControllerVariable)
	return path
}

// command returns the command of a run, without the environment variables and files that configure
// clusters and credentials.
func (r run) command(t *testing.T) *exec.Cmd {
	t.Helper()
	path := binary(t)
	if r.name != "" {
		link := filepath.Join(t.TempDir(), r.name)
		NewWithT(t).Expect(os.Symlink(path, link)).To(Succeed())
		path = link
	}
	cmd := exec.CommandContext(t.Context(), path, r.args...)
	home := t.TempDir()
	cmd.Env = append([]string{"HOME=" + home, "DOCKER_CONFIG=" + home, "PATH=" + os.Getenv("PATH")}, r.env...)
	cmd.Stdin = strings.NewReader(r.stdin)
	return cmd
}

// do runs the binary and returns its outcome.
func (r run) do(t *testing.T) commandResult {
	t.Helper()
	cmd := r.command(t)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	if exit, failed := errors.AsType[*exec.ExitError](err); err != nil && (!failed || exit.ExitCode() < 0) {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.String())
	}
	return commandResult{out: out.String(), err: stderr.String(), code: cmd.ProcessState.ExitCode()}
}

// files writes files into a directory and returns the directory.
func files(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range contents {
		NewWithT(t).Expect(os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600)).To(Succeed())
	}
	return dir
}

// dockerConfig writes a docker configuration and returns the environment variable that selects it.
func dockerConfig(t *testing.T, host, username, password string) string {
	t.Helper()
	auth := base64.StdEncoding.EncodeToString([]byte(username + ":" + password))
	dir := files(t, map[string]string{"config.json": fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, host, auth)})
	return "DOCKER_CONFIG=" + dir
}

// policy returns an ImagePolicy with a range of versions.
func policy(versions string) string {
	return fmt.Sprintf(`apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: app}
spec:
  imageRepositoryRef: {name: app}
  policy: {semver: {range: %q}}
`, versions)
}

// repository returns an ImageRepository as a further YAML document.
func repository(image string) string {
	return fmt.Sprintf(`---
apiVersion: image.toolkit.fluxcd.io/v1beta2
kind: ImageRepository
metadata: {name: app}
spec: {image: %q, insecure: true, interval: 5m, exclusionList: [^dev]}
`, image)
}

// kubeconfig writes the configuration of a cluster and returns its file.
func kubeconfig(t *testing.T, server string) string {
	t.Helper()
	content := "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c}}]\n" +
		"clusters: [{name: c, cluster: {server: '" + server + "'}}]\n"
	return filepath.Join(files(t, map[string]string{"config": content}), "config")
}

// clusterWithoutCRDs serves only the discovery of a cluster without CRDs, and returns its URL.
func clusterWithoutCRDs(t *testing.T) string {
	t.Helper()
	responses := map[string]string{
		"/api":  `{"kind": "APIVersions", "versions": ["v1"]}`,
		"/apis": `{"kind": "APIGroupList", "apiVersion": "v1", "groups": []}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		response, found := responses[r.URL.Path]
		if !found {
			w.WriteHeader(http.StatusNotFound)
			response = `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}`
		}
		fmt.Fprint(w, response)
	}))
	t.Cleanup(server.Close)
	return server.URL
}
