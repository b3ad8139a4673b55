// SPDX-License-Identifier: Apache-2.0

// Package vulncheck_test tests that a check for vulnerabilities which checked
// nothing is never taken for one that found none.
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
		says    string
		exits   string
		want    int
		skipped bool
	}{
		"nothing is known":            {"No vulnerabilities found.", "0", 0, false},
		"a finding":                   {"Your code is affected by 1 vulnerability.", "3", 3, false},
		"a finding about the network": {"Vulnerability #1: fetching vulnerabilities: dial tcp", "3", 3, false},
		"no such host":                {fetching + "dial tcp: lookup vuln.go.dev: no such host", "1", 77, true},
		"refused":                     {fetching + "dial tcp 10.0.0.1:443: connect: connection refused", "1", 77, true},
		"a proxy that says no":        {fetching + "proxyconnect tcp: Forbidden", "1", 77, true},
		"slow":                        {fetching + "context deadline exceeded", "1", 77, true},
		"a database that is broken":   {"govulncheck: fetching vulnerabilities: invalid character", "1", 1, false},
		"code that does not compile":  {"govulncheck: loading packages: undefined: x", "1", 1, false},
		"another failure":             {"dial tcp", "2", 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			dir := t.TempDir()
			tool, skipped := filepath.Join(dir, "govulncheck"), filepath.Join(dir, "skipped")
			script := "#!/bin/sh\necho '" + tc.says + "' >&2\nexit " + tc.exits + "\n"
			g.Expect(os.WriteFile(tool, []byte(script), 0o700)).To(Succeed())
			cmd := exec.CommandContext(t.Context(), "bash", "vulncheck.sh", tool)
			cmd.Env = append(os.Environ(), "SKIPPED="+skipped)
			out, err := cmd.CombinedOutput()
			if ended := (*exec.ExitError)(nil); err != nil && !errors.As(err, &ended) {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != tc.want {
				t.Errorf("ended with %d, want %d: %s", got, tc.want, out)
			}
			g.Expect(string(out)).To(ContainSubstring(tc.says), "it said %s", out)
			g.Expect(strings.Contains(string(out), "NOTHING WAS CHECKED")).To(Equal(tc.skipped), "it said %s", out)
			if _, err := os.Stat(skipped); (err == nil) != tc.skipped {
				t.Errorf("CI is told that it was skipped: %v, want %v", err == nil, tc.skipped)
			}
		})
	}
}
