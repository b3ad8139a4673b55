// SPDX-License-Identifier: Apache-2.0

// Package vulncheck_test tests that a check without access to the database is not reported as
// passed.
package vulncheck_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestVulncheck_ReturnsExitCodes(t *testing.T) {
	const fetching = "govulncheck: fetching vulnerabilities: Get \"https://vuln.go.dev/index/modules.json.gz\": "
	for name, tc := range map[string]struct {
		output  string
		exit    string
		want    int
		skipped bool
	}{
		"no vulnerability":              {"No vulnerabilities found.", "0", 0, false},
		"vulnerability":                 {"Your code is affected by 1 vulnerability.", "3", 3, false},
		"vulnerability in network code": {"Vulnerability #1: fetching vulnerabilities: dial tcp", "3", 3, false},
		"unknown host":                  {fetching + "dial tcp: lookup vuln.go.dev: no such host", "1", 77, true},
		"connection refused":            {fetching + "dial tcp 10.0.0.1:443: connect: connection refused", "1", 77, true},
		"proxy denies access":           {fetching + "proxyconnect tcp: Forbidden", "1", 77, true},
		"timeout":                       {fetching + "context deadline exceeded", "1", 77, true},
		"invalid database":              {"govulncheck: fetching vulnerabilities: invalid character", "1", 1, false},
		"compile error":                 {"govulncheck: loading packages: undefined: x", "1", 1, false},
		"other error":                   {"dial tcp", "2", 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			dir := t.TempDir()
			tool, skipped := filepath.Join(dir, "govulncheck"), filepath.Join(dir, "skipped")
			script := "#!/bin/sh\necho '" + tc.output + "' >&2\nexit " + tc.exit + "\n"
			g.Expect(os.WriteFile(tool, []byte(script), 0o700)).To(Succeed())
			cmd := exec.CommandContext(t.Context(), "bash", "vulncheck.sh", tool)
			cmd.Env = append(os.Environ(), "SKIPPED="+skipped)
			out, err := cmd.CombinedOutput()
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != tc.want {
				t.Errorf("exit code %d, want %d: %s", got, tc.want, out)
			}
			g.Expect(string(out)).To(ContainSubstring(tc.output), "output: %s", out)
			g.Expect(strings.Contains(string(out), "NOTHING WAS CHECKED")).To(Equal(tc.skipped), "output: %s", out)
			if _, err := os.Stat(skipped); (err == nil) != tc.skipped {
				t.Errorf("reported as skipped: %v, want %v", err == nil, tc.skipped)
			}
		})
	}
}
