// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/explain/cli"
)

// TestHelp_ShowsNameOfBinary covers the names under which the binary is the controller or a plugin.
func TestHelp_ShowsNameOfBinary(t *testing.T) {
	t.Parallel()
	for name, display := range map[string]string{
		"":                    "image-reflector-controller",
		"kubectl-imagepolicy": "kubectl imagepolicy",
		"flux-imagepolicy":    "flux-imagepolicy",
	} {
		t.Run(display, func(t *testing.T) {
			g := NewWithT(t)
			got := run{name: name, args: []string{"explain", "--help"}}.do(t)
			g.Expect(got.out).To(ContainSubstring("\n  " + display + " explain (NAME | -f FILE[,FILE]) [flags]\n"))
			g.Expect(got.out).To(ContainSubstring("\n  " + display + " explain webapp -n apps --tag 1.2.3\n"))
		})
	}
}

func TestPlugin_DoesNotStartController(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	got := run{name: "kubectl-imagepolicy"}.do(t)
	g.Expect(got.code).To(Equal(cli.ExitSelected))
	g.Expect(got.out).To(ContainSubstring("kubectl imagepolicy [command]"))
	got = run{name: "kubectl-imagepolicy", args: []string{"webapp"}}.do(t)
	g.Expect(got.code).To(Equal(cli.ExitInvalid))
	g.Expect(got.err).To(ContainSubstring(`did you mean "kubectl imagepolicy explain webapp"?`))
	got = run{name: "kubectl-imagepolicy", args: []string{"--storage-path=x"}}.do(t)
	g.Expect(got.code).To(Equal(cli.ExitInvalid), "the plugin does not have the flags of the controller")
}

// TestController_StartsWithoutSubcommand checks that without a subcommand, only the flags of the
// controller are accepted.
func TestController_StartsWithoutSubcommand(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	got := run{args: []string{"--help"}}.do(t)
	g.Expect(got.code).To(BeZero())
	g.Expect(got.err).To(And(ContainSubstring("--storage-path"), ContainSubstring("image-reflector-controller explain"),
		Not(ContainSubstring("--from-status"))))
	got = run{args: []string{"--from-status"}}.do(t)
	g.Expect(got.code).To(Equal(2))
	g.Expect(got.err).To(ContainSubstring("unknown flag: --from-status"))
	got = run{args: []string{"--concurrent=0", "--storage-path=" + t.TempDir()}}.do(t)
	g.Expect(got.code).To(Equal(1), "the controller starts and validates its flags")
	g.Expect(got.out + got.err).To(ContainSubstring("--concurrent is 0"))
}

func TestIsExplain_DetectsPluginNamesAndSubcommands(t *testing.T) {
	for _, tt := range []struct {
		argv string
		want bool
	}{
		{"/usr/local/bin/image-reflector-controller", false},
		{"image-reflector-controller --events-addr=http://nc --storage-path=/data", false},
		{"image-reflector-controller explain", true},
		{"image-reflector-controller completion bash", true},
		{"image-reflector-controller __complete explain x", true},
		{"image-reflector-controller --log-level=debug explain", false},
		{"/opt/kubectl-imagepolicy", true},
		{"kubectl-imagepolicy.exe explain", true},
		{"flux-imagepolicy --help", true},
		{"kubectl_complete-imagepolicy explain", true},
		{"", false},
	} {
		NewWithT(t).Expect(cli.IsExplain(strings.Fields(tt.argv))).To(Equal(tt.want), "IsExplain(%q)", tt.argv)
	}
}

func TestCompletion_SuggestsValues(t *testing.T) {
	t.Parallel()
	kubeconfig := "apiVersion: v1\nkind: Config\ncontexts: [{name: prod, context: {}}, {name: test, context: {}}]\n"
	dir := files(t, map[string]string{"config": kubeconfig})
	env := []string{"KUBECONFIG=" + dir + "/config"}
	for _, tt := range []struct {
		reason string
		run    run
		want   string
	}{
		{"formats", run{args: []string{"__complete", "explain", "-o", ""}}, "table\nwide\njson\nyaml\n"},
		{"formats, called by kubectl", run{name: "kubectl_complete-imagepolicy", args: []string{"explain", "-o", ""}}, "table\nwide\njson\nyaml\n"},
		{"colours", run{name: "flux-imagepolicy", args: []string{"__complete", "explain", "--color", ""}}, "auto\nalways\nnever\n"},
		{"contexts", run{args: []string{"__complete", "explain", "--context", ""}, env: env}, "prod\ntest\n"},
		{"subcommands", run{name: "kubectl_complete-imagepolicy", args: []string{"exp"}}, "explain\tExplain"},
		{"script for bash", run{name: "kubectl-imagepolicy", args: []string{"completion", "bash"}}, "# bash completion V2 for kubectl-imagepolicy "},
		{"files", run{args: []string{"__complete", "explain", "-f", ""}}, "yaml\nyml\njson\n:8\n"},
		{"no names without a cluster", run{args: []string{"__complete", "explain", ""}}, ":4\n"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			got := tt.run.do(t)
			g.Expect(got.code).To(BeZero(), got.err)
			g.Expect(got.out).To(HavePrefix(tt.want))
		})
	}
}
