// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/explain/cli"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

func TestExplain_ReturnsExitCodes(t *testing.T) {
	t.Parallel()
	down := registrytest.Start(t)
	down.Inject(registrytest.Any, registrytest.Status(500, ""))
	private := registrytest.Start(t, registrytest.WithBasicAuth("ann", "secret"))
	private.PushTags(t, "app", "1.0.0", "dev-1")
	open := registrytest.Start(t)
	open.PushTags(t, "app", "1.0.0", "1.1.0")
	open.Inject(registrytest.Tags, registrytest.Body("application/json", `{"name": "app", "tags": ["1.0.0"]}`))
	withoutImages := registrytest.Start(t)
	withoutImages.PushTags(t, "app", "1.0.0")
	withoutImages.Inject(registrytest.ManifestHead, registrytest.Status(500, ""))
	withoutImages.Inject(registrytest.ManifestGet, registrytest.Status(500, ""))
	dir := files(t, map[string]string{"empty": "", "policy.yaml": policy("1.x")})
	empty, policyFile := filepath.Join(dir, "empty"), filepath.Join(dir, "policy.yaml")
	failing := kubeconfig(t, "http://"+down.Host())
	withoutCRDs := kubeconfig(t, clusterWithoutCRDs(t))
	of := func(r *registrytest.Registry) string { return policy("1.x") + repository(r.Image("app")) }
	badKeys := "  verify: {secretRef: {name: keys}}\n" + repository(open.Image("app")) + keys("no key")

	for _, tt := range []struct {
		reason   string
		run      run
		code     int
		out, err string
	}{
		{"a tag is selected", run{args: []string{"-f", "-", "--tags", "testdata/tags.txt"}, stdin: policy("1.x")}, cli.ExitSelected, "1.10.0", ""},
		{"no tag is a candidate", run{args: []string{"-f", "-", "--tags", "testdata/tags.txt"}, stdin: policy("9.x")}, cli.ExitNothing, "nothing", ""},
		{"there are no tags", run{args: []string{"-f", "-", "--tags", empty}, stdin: policy("9.x")}, cli.ExitNothing, "nothing", ""},
		{"tags are read from a pipe", run{args: []string{"-f", policyFile, "--tags", "-"}, stdin: `["1.1.0", "1.0.0"]`}, cli.ExitSelected, "2 in the list", ""},
		{"loopback addresses are reached without TLS, as docker does", run{args: []string{"-f", policyFile, "--image", open.Image("app")}}, cli.ExitSelected, "1.0.0 sha256:", ""},
		{"a tag that the list lacks is looked for itself", run{args: []string{"-f", "-", "--tag", "1.1.0"}, stdin: of(open)}, cli.ExitSelected, "is in the registry, but missing from its list", ""},
		{"no policy", run{}, cli.ExitInvalid, "", "name an ImagePolicy"},
		{"two policies", run{args: []string{"a", "b"}}, cli.ExitInvalid, "", "accepts at most 1 arg"},
		{"an unknown flag", run{args: []string{"--bogus"}}, cli.ExitInvalid, "", "unknown flag: --bogus"},
		{"an unknown format", run{args: []string{"x", "-o", "xml"}}, cli.ExitInvalid, "", `--output is "xml"`},
		{"an unknown colour", run{args: []string{"x", "--color", "red"}}, cli.ExitInvalid, "", `--color is "red"`},
		{"fewer than none", run{args: []string{"x", "--top", "-1"}}, cli.ExitInvalid, "", "--top is -1"},
		{"tags without files", run{args: []string{"x", "--tags", "y"}}, cli.ExitInvalid, "", "--tags goes with --filename"},
		{"an image without files", run{args: []string{"x", "--image", "y"}}, cli.ExitInvalid, "", "--image goes with --filename"},
		{"a status of files", run{args: []string{"-f", "x", "--from-status"}}, cli.ExitInvalid, "", "--from-status needs a cluster"},
		{"gates of a list", run{args: []string{"-f", "-", "--gates", "--tags", empty}}, cli.ExitInvalid, "", "--gates asks the registry: leave --tags out"},
		{"gates of a status", run{args: []string{"x", "--gates", "--from-status"}}, cli.ExitInvalid, "", "--gates asks the registry: leave --from-status out"},
		{"two readers of one input", run{args: []string{"-f", "-", "--tags", "-"}}, cli.ExitInvalid, "", "can be read once only"},
		{"a missing file", run{args: []string{"-f", "testdata/none.yaml"}}, cli.ExitInvalid, "", "testdata/none.yaml"},
		{"a missing list", run{args: []string{"-f", "-", "--tags", "testdata/none"}, stdin: policy("1.x")}, cli.ExitInvalid, "", "testdata/none"},
		{"an unknown field", run{args: []string{"-f", "-"}, stdin: policy("1.x") + "  sharpen: true\n"}, cli.ExitInvalid, "", `unknown field "spec.sharpen"`},
		{"an invalid range", run{args: []string{"-f", "-", "--tags", empty}, stdin: policy("one")}, cli.ExitInvalid, "", "standard input: ImagePolicy 'app': spec.policy.semver.range"},
		{"an invalid platform", run{args: []string{"-f", "-", "--tags", empty}, stdin: policy("1.x") + "  platforms: [linux]\n"}, cli.ExitInvalid, "",
			`ImagePolicy 'app': spec.platforms[0] "linux" is invalid`},
		{"times of a list", run{args: []string{"-f", "-", "--tags", empty}, stdin: newest("Created")}, cli.ExitInvalid, "", "add --gates, which reads that from the registry"},
		{"times of a controller", run{args: []string{"-f", "-", "--tags", empty}, stdin: newest("FirstSeen")}, cli.ExitInvalid, "", "leave --filename out"},
		{"keys that are none", run{args: []string{"-f", "-", "--gates"}, stdin: policy("1.x") + badKeys}, cli.ExitInvalid, "", "spec.verify of ImagePolicy 'app'"},
		{"no image", run{args: []string{"-f", "-"}, stdin: policy("1.x")}, cli.ExitInvalid, "", "which image is it?"},
		{"no image that is one", run{args: []string{"-f", "-", "--image", "X/y"}, stdin: policy("1.x")}, cli.ExitInvalid, "", `write "x/y"`},
		{"no kubeconfig", run{args: []string{"x", "--kubeconfig", "testdata/none"}}, cli.ExitInvalid, "", "testdata/none"},
		{"a cluster that fails", run{args: []string{"x", "--kubeconfig", failing}}, cli.ExitFailed, "", "ImagePolicy 'default/x' could not be read"},
		{"a cluster without CRDs", run{args: []string{"x", "--kubeconfig", withoutCRDs}}, cli.ExitFailed, "", "are the CRDs installed?"},
		{"a registry that fails", run{args: []string{"-f", "-"}, stdin: of(down)}, cli.ExitFailed, "", "500"},
		{"a registry that fails while gates are judged", run{args: []string{"-f", "-", "--gates"},
			stdin: policy("1.x") + platforms + repository(withoutImages.Image("app"))}, cli.ExitFailed, "", "500"},
		{"a registry that fails while times are read", run{args: []string{"-f", "-", "--gates"},
			stdin: newest("Created") + repository(withoutImages.Image("app"))}, cli.ExitFailed, "", "500"},
		{"a registry that refuses", run{args: []string{"-f", "-"}, stdin: of(private)}, cli.ExitFailed, "", "the docker configuration has no credentials for " + private.Host()},
		{"credentials that are wrong", run{args: []string{"-f", "-"}, stdin: of(private), env: []string{dockerConfig(t, private.Host(), "ann", "wrong")}},
			cli.ExitFailed, "", "refused the credentials of the docker configuration"},
		{"credentials that are right", run{args: []string{"-f", "-"}, stdin: of(private), env: []string{dockerConfig(t, private.Host(), "ann", "secret")}}, cli.ExitSelected, "1.0.0 sha256:", ""},
		{"help", run{args: []string{"--help"}}, cli.ExitSelected, "Exit codes:", ""},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			tt.run.args = append([]string{"explain"}, tt.run.args...)
			got := tt.run.do(t)
			g.Expect(got.code).To(Equal(tt.code), "%s%s", got.out, got.err)
			g.Expect(got.out).To(ContainSubstring(tt.out))
			g.Expect(got.err).To(ContainSubstring(tt.err))
			g.Expect(got.err).NotTo(ContainSubstring("secret"))
			if tt.code == cli.ExitSelected || tt.code == cli.ExitNothing {
				g.Expect(got.err).To(BeEmpty(), "an answer comes without errors")
			} else {
				g.Expect(got.out).To(BeEmpty(), "a failure comes without an answer")
				g.Expect(got.err).To(HavePrefix("Error: "))
			}
		})
	}
}

// decoded runs with -o json, and reads what comes out.
func decoded(t *testing.T, r run) explain.Result {
	t.Helper()
	r.args = append(r.args, "-o", "json")
	got := r.do(t)
	var result explain.Result
	if err := json.Unmarshal([]byte(got.out), &result); err != nil {
		t.Fatalf("%v\n%s%s", err, got.out, got.err)
	}
	return result
}

// TestExplain_EscapesControlCharacters: what others wrote can't command a terminal.
func TestExplain_EscapesControlCharacters(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	dir := files(t, map[string]string{"tags": "1.0.0\n\x1b[31m1.1.0\n\u009b2J\n"})
	for _, format := range []string{"table", "wide", "json", "yaml"} {
		got := run{args: []string{"explain", "-f", "-", "--tags", filepath.Join(dir, "tags"), "--tag", "\x1b[31mred\u009b", "-o", format},
			stdin: policy("1.x")}.do(t)
		g.Expect(got.code).To(Equal(cli.ExitSelected), got.err)
		g.Expect(strings.ContainsAny(got.out, "\x1b\u009b")).To(BeFalse(), "%q", got.out)
		g.Expect(got.out).To(ContainSubstring("[31mred"), "the tag that was asked about is told")
	}
	got := run{args: []string{"explain", "\x1b[31mred", "extra"}}.do(t)
	g.Expect(got.err).NotTo(ContainSubstring("\x1b"))
	got = run{args: []string{"explain", "-f", "\x1b[31mred"}}.do(t)
	g.Expect(got.err).To(ContainSubstring(`\x1b[31mred`), "an error is told, and harmless")
}

// TestExplain_StopsOnInterrupt: who does not want to wait need not.
func TestExplain_StopsOnInterrupt(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	hanging := registrytest.Start(t)
	hanging.Inject(registrytest.Any, hanging.Hang())
	cmd := run{args: []string{"explain", "-f", "-"}, stdin: policy("1.x") + repository(hanging.Image("app"))}.command(t)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	g.Expect(cmd.Start()).To(Succeed())
	g.Eventually(func() int { return hanging.Count(registrytest.Any) }, "20s").Should(BeNumerically(">", 0))
	start := time.Now()
	g.Expect(cmd.Process.Signal(os.Interrupt)).To(Succeed())
	g.Expect(cmd.Wait()).NotTo(Succeed())
	g.Expect(time.Since(start)).To(BeNumerically("<", 10*time.Second))
	g.Expect(cmd.ProcessState.ExitCode()).To(Equal(cli.ExitFailed))
	g.Expect(problems.String()).To(HavePrefix("Error: "))
}
