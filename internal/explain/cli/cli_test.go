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
	inRegistry := func(r *registrytest.Registry) string { return policy("1.x") + repository(r.Image("app")) }
	badKeys := "  verify: {secretRef: {name: keys}}\n" + repository(open.Image("app")) + keys("no key")

	for _, tt := range []struct {
		reason   string
		run      run
		code     int
		out, err string
	}{
		{"tag is selected", run{args: []string{"-f", "-", "--tags", "testdata/tags.txt"}, stdin: policy("1.x")}, cli.ExitSelected, "1.10.0", ""},
		{"no tag is a candidate", run{args: []string{"-f", "-", "--tags", "testdata/tags.txt"}, stdin: policy("9.x")}, cli.ExitNothing, "nothing", ""},
		{"no tags", run{args: []string{"-f", "-", "--tags", empty}, stdin: policy("9.x")}, cli.ExitNothing, "nothing", ""},
		{"tags are read from a pipe", run{args: []string{"-f", policyFile, "--tags", "-"}, stdin: `["1.1.0", "1.0.0"]`}, cli.ExitSelected, "2 in the list", ""},
		{"loopback addresses are reached without TLS, as docker does", run{args: []string{"-f", policyFile, "--image", open.Image("app")}}, cli.ExitSelected, "1.0.0 sha256:", ""},
		{"tag missing from the list is checked separately", run{args: []string{"-f", "-", "--tag", "1.1.0"}, stdin: inRegistry(open)}, cli.ExitSelected, "is in the registry, but missing from its list", ""},
		{"no policy", run{}, cli.ExitInvalid, "", "name an ImagePolicy"},
		{"two policies", run{args: []string{"a", "b"}}, cli.ExitInvalid, "", "accepts at most 1 arg"},
		{"unknown flag", run{args: []string{"--bogus"}}, cli.ExitInvalid, "", "unknown flag: --bogus"},
		{"unknown format", run{args: []string{"x", "-o", "xml"}}, cli.ExitInvalid, "", `--output is "xml"`},
		{"unknown colour", run{args: []string{"x", "--color", "red"}}, cli.ExitInvalid, "", `--color is "red"`},
		{"negative number of runners-up", run{args: []string{"x", "--top", "-1"}}, cli.ExitInvalid, "", "--top is -1"},
		{"tags without files", run{args: []string{"x", "--tags", "y"}}, cli.ExitInvalid, "", "--tags goes with --filename"},
		{"image without files", run{args: []string{"x", "--image", "y"}}, cli.ExitInvalid, "", "--image goes with --filename"},
		{"history of files", run{args: []string{"-f", "x", "--history"}}, cli.ExitInvalid, "", "--history needs the status of the policy in a cluster: leave --filename out"},
		{"status of files", run{args: []string{"-f", "x", "--from-status"}}, cli.ExitInvalid, "", "--from-status needs a cluster"},
		{"gates of a list", run{args: []string{"-f", "-", "--gates", "--tags", empty}}, cli.ExitInvalid, "", "--gates needs the registry: leave --tags out"},
		{"mirrors of a status", run{args: []string{"x", "--registry-mirrors=x", "--from-status"}}, cli.ExitInvalid, "", "--registry-mirrors needs the registry"},
		{"gates of a status", run{args: []string{"x", "--gates", "--from-status"}}, cli.ExitInvalid, "", "--gates needs the registry: leave --from-status out"},
		{"standard input is used twice", run{args: []string{"-f", "-", "--tags", "-"}}, cli.ExitInvalid, "", "can be read once only"},
		{"missing file", run{args: []string{"-f", "testdata/none.yaml"}}, cli.ExitInvalid, "", "testdata/none.yaml"},
		{"missing list", run{args: []string{"-f", "-", "--tags", "testdata/none"}, stdin: policy("1.x")}, cli.ExitInvalid, "", "testdata/none"},
		{"unknown field", run{args: []string{"-f", "-"}, stdin: policy("1.x") + "  sharpen: true\n"}, cli.ExitInvalid, "", `unknown field "spec.sharpen"`},
		{"invalid range", run{args: []string{"-f", "-", "--tags", empty}, stdin: policy("one")}, cli.ExitInvalid, "", "standard input: ImagePolicy 'app': spec.policy.semver.range"},
		{"invalid platform", run{args: []string{"-f", "-", "--tags", empty}, stdin: policy("1.x") + "  platforms: [linux]\n"}, cli.ExitInvalid, "",
			`ImagePolicy 'app': spec.platforms[0] "linux" is invalid`},
		{"creation times with a list", run{args: []string{"-f", "-", "--tags", empty}, stdin: newest("Created")}, cli.ExitInvalid, "", "add --gates, which reads that from the registry"},
		{"first-seen times with files", run{args: []string{"-f", "-", "--tags", empty}, stdin: newest("FirstSeen")}, cli.ExitInvalid, "", "leave --filename out"},
		{"invalid keys", run{args: []string{"-f", "-", "--gates"}, stdin: policy("1.x") + badKeys}, cli.ExitInvalid, "", "spec.verify of ImagePolicy 'app'"},
		{"no image", run{args: []string{"-f", "-"}, stdin: policy("1.x")}, cli.ExitInvalid, "", "the image is not known: add a file"},
		{"invalid image", run{args: []string{"-f", "-", "--image", "X/y"}, stdin: policy("1.x")}, cli.ExitInvalid, "", `write "x/y"`},
		{"no cluster is configured", run{args: []string{"x"}}, cli.ExitInvalid, "", "no configuration has been provided"},
		{"server without a kubeconfig", run{args: []string{"x", "-s", "http://" + down.Host()}}, cli.ExitFailed, "", "could not be read"},
		{"no kubeconfig", run{args: []string{"x", "--kubeconfig", "testdata/none"}}, cli.ExitInvalid, "", "testdata/none"},
		{"cluster fails", run{args: []string{"x", "--kubeconfig", failing}}, cli.ExitFailed, "", "ImagePolicy 'default/x' could not be read"},
		{"cluster without CRDs", run{args: []string{"x", "--kubeconfig", withoutCRDs}}, cli.ExitFailed, "", "are the CRDs installed?"},
		{"registry fails", run{args: []string{"-f", "-"}, stdin: inRegistry(down)}, cli.ExitFailed, "", "500"},
		{"registry fails during evaluation of gates", run{args: []string{"-f", "-", "--gates"},
			stdin: policy("1.x") + platforms + repository(withoutImages.Image("app"))}, cli.ExitFailed, "", "500"},
		{"registry fails during reading of times", run{args: []string{"-f", "-", "--gates"},
			stdin: newest("Created") + repository(withoutImages.Image("app"))}, cli.ExitFailed, "", "500"},
		{"registry requires credentials", run{args: []string{"-f", "-"}, stdin: inRegistry(private)}, cli.ExitFailed, "", "the docker configuration has no credentials for " + private.Host()},
		{"wrong credentials", run{args: []string{"-f", "-"}, stdin: inRegistry(private), env: []string{dockerConfig(t, private.Host(), "ann", "wrong")}},
			cli.ExitFailed, "", "refused the credentials of the docker configuration"},
		{"valid credentials", run{args: []string{"-f", "-"}, stdin: inRegistry(private), env: []string{dockerConfig(t, private.Host(), "ann", "secret")}}, cli.ExitSelected, "1.0.0 sha256:", ""},
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
				g.Expect(got.err).To(BeEmpty(), "no error is printed with an explanation")
			} else {
				g.Expect(got.out).To(BeEmpty(), "no explanation is printed with an error")
				g.Expect(got.err).To(HavePrefix("Error: "))
			}
		})
	}
}

// TestExplain_UsesTimeoutOfFiles checks that spec.timeout of a file bounds the requests.
func TestExplain_UsesTimeoutOfFiles(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	hanging := registrytest.Start(t)
	hanging.Inject(registrytest.Any, hanging.Hang())
	repository := strings.Replace(repository(hanging.Image("app")), "interval: 5m", "interval: 5m, timeout: 1s", 1)
	start := time.Now()
	got := run{args: []string{"explain", "-f", "-"}, stdin: policy("1.x") + repository}.do(t)
	g.Expect(got.code).To(Equal(cli.ExitFailed), got.out)
	g.Expect(time.Since(start)).To(BeNumerically("<", 15*time.Second), "the client's timeout is longer")
}

// decoded runs with -o json and decodes the output.
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

// TestExplain_EscapesControlCharacters checks that input can't send escape sequences to a terminal.
func TestExplain_EscapesControlCharacters(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	dir := files(t, map[string]string{"tags": "1.0.0\n\x1b[31m1.1.0\n\u009b2J\n"})
	for _, format := range []string{"table", "wide", "json", "yaml"} {
		got := run{args: []string{"explain", "-f", "-", "--tags", filepath.Join(dir, "tags"), "--tag", "\x1b[31mred\u009b", "-o", format},
			stdin: policy("1.x")}.do(t)
		g.Expect(got.code).To(Equal(cli.ExitSelected), got.err)
		g.Expect(strings.ContainsAny(got.out, "\x1b\u009b")).To(BeFalse(), "%q", got.out)
		g.Expect(got.out).To(ContainSubstring("[31mred"), "the escaped tag of --tag")
	}
	got := run{args: []string{"explain", "\x1b[31mred", "extra"}}.do(t)
	g.Expect(got.err).NotTo(ContainSubstring("\x1b"))
	got = run{args: []string{"explain", "-f", "\x1b[31mred"}}.do(t)
	g.Expect(got.err).To(ContainSubstring(`\x1b[31mred`), "the escaped file name in the error")
}

// TestExplain_StopsOnInterrupt checks that a signal cancels a request that hangs.
func TestExplain_StopsOnInterrupt(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	hanging := registrytest.Start(t)
	hanging.Inject(registrytest.Any, hanging.Hang())
	cmd := run{args: []string{"explain", "-f", "-"}, stdin: policy("1.x") + repository(hanging.Image("app"))}.command(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	g.Expect(cmd.Start()).To(Succeed())
	g.Eventually(func() int { return hanging.Count(registrytest.Any) }, "20s").Should(BeNumerically(">", 0))
	start := time.Now()
	g.Expect(cmd.Process.Signal(os.Interrupt)).To(Succeed())
	g.Expect(cmd.Wait()).NotTo(Succeed())
	g.Expect(time.Since(start)).To(BeNumerically("<", 10*time.Second))
	g.Expect(cmd.ProcessState.ExitCode()).To(Equal(cli.ExitFailed))
	g.Expect(stderr.String()).To(HavePrefix("Error: "))
}
