// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fluxcd/image-reflector-controller/internal/explain/render"
	"github.com/fluxcd/image-reflector-controller/internal/explain/source"
	"github.com/fluxcd/image-reflector-controller/internal/terminal"
)

const longHelp = `Explain which image an ImagePolicy selects, and why.

The policy, its repository and the credentials are read from the cluster, and the tags
from the registry, now. With --filename, objects are read from files, and no cluster is
needed: the registry is then reached with the credentials of docker, or not at all with
--tags.

Exit codes: 0 a tag is selected, 1 nothing is selected, 2 the input is invalid, 3 the
cluster or the registry failed.`

const examples = `  # what the policy selects, and what comes after it
  %[1]s explain webapp -n apps

  # why not this tag?
  %[1]s explain webapp -n apps --tag 1.2.3

  # which images pass its gates (platforms, age, signatures)?
  %[1]s explain webapp -n apps --gates

  # what it selected before, and how to go back
  %[1]s explain webapp -n apps --history

  # every tag that is rejected, with the reason
  %[1]s explain webapp -n apps --all

  # before it is in a cluster, with the real tags or with a list
  %[1]s explain -f policy.yaml,repository.yaml
  %[1]s explain -f policy.yaml --tags tags.txt`

// options are the flags of explain.
type options struct {
	kube kubeconfig

	files       []string
	tags, image string
	fromStatus  bool
	gates       bool
	mirrors     string
	history     bool

	top           int
	all           bool
	tag           string
	output, color string
}

func newExplain() *cobra.Command {
	o := &options{kube: newKubeconfig()}
	cmd := &cobra.Command{
		Use:     "explain (NAME | -f FILE[,FILE])",
		Short:   "Explain which image an ImagePolicy selects, and why",
		Long:    longHelp,
		Args:    cobra.MaximumNArgs(1),
		PreRunE: func(_ *cobra.Command, args []string) error { return o.check(args) },
		RunE:    o.run,
	}
	o.bind(cmd)
	return cmd
}

func (o *options) run(cmd *cobra.Command, args []string) error {
	result, err := o.explain(cmd.Context(), args)
	if err == nil {
		err = render.Write(os.Stdout, result, o.output, terminal.StyleOf(os.Stdout, o.color))
	}
	if err == nil && result.Selected == nil {
		return errNothing
	}
	return classify(err)
}

func (o *options) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringSliceVarP(&o.files, "filename", "f", nil,
		"Files with an ImagePolicy and, if needed, its ImageRepository; - is the standard input. No cluster is used.")
	fs.StringVar(&o.tags, "tags", "",
		"With --filename: a file with the tags, in lines or as JSON; - is the standard input. No registry is used.")
	fs.StringVar(&o.image, "image", "", "With --filename: the image, if the files contain no ImageRepository.")
	fs.BoolVar(&o.fromStatus, "from-status", false, "Use the few tags that the status names, and no registry.")
	fs.BoolVar(&o.gates, "gates", false,
		"Evaluate the images by platforms, minimumAge and verify, and read times, in the registry: the best one first, until one passes.")
	fs.StringVar(&o.mirrors, "registry-mirrors", "", "The file that the controller has in its flag of the same name.")
	fs.BoolVar(&o.history, "history", false, "Show what the policy selected before, when and why, and how to go back.")
	fs.IntVar(&o.top, "top", 5, "Number of candidates shown after the selected one.")
	fs.BoolVar(&o.all, "all", false, "Show every tag that is rejected, and why.")
	fs.StringVar(&o.tag, "tag", "", "Explain the result for this tag.")
	fs.StringVarP(&o.output, "output", "o", render.Table, "Format: "+strings.Join(render.Formats(), ", ")+".")
	fs.StringVar(&o.color, "color", terminal.ColorAuto, "Colours: "+strings.Join(terminal.Colors(), ", ")+".")
	o.kube.bind(fs)
	o.bindCompletions(cmd)
}

// rule is a rule for arguments and flags, with the message if it is violated.
type rule struct {
	violated bool
	message  string
}

// check returns an error for invalid values and combinations of flags.
func (o *options) check(args []string) error {
	for _, r := range slices.Concat(o.valueRules(args), o.registryRules(), o.fileRules()) {
		if r.violated {
			return source.Invalidf("%s", r.message)
		}
	}
	return nil
}

// valueRules are the rules for single values.
func (o *options) valueRules(args []string) []rule {
	return []rule{
		{len(args) == 0 && len(o.files) == 0, "name an ImagePolicy, or files with one: explain NAME, or explain -f FILE"},
		{!slices.Contains(render.Formats(), o.output), invalidChoice("output", o.output, render.Formats())},
		{!slices.Contains(terminal.Colors(), o.color), invalidChoice("color", o.color, terminal.Colors())},
		{o.top < 0, fmt.Sprintf("--top is %d: it must be 0 or more", o.top)},
	}
}

// registryRules are the rules for flags that need the registry.
func (o *options) registryRules() []rule {
	return []rule{
		{o.gates && o.fromStatus, "--gates needs the registry: leave --from-status out"},
		{o.gates && o.tags != "", "--gates needs the registry: leave --tags out"},
		{o.mirrors != "" && !o.usesRegistry(), "--registry-mirrors needs the registry: leave --from-status and --tags out"},
	}
}

// fileRules are the rules for flags that go with --filename, or not.
func (o *options) fileRules() []rule {
	reads := 0
	for _, file := range append(slices.Clone(o.files), o.tags) {
		if file == source.Stdin {
			reads++
		}
	}
	inFiles := len(o.files) > 0
	return []rule{
		{inFiles && o.fromStatus, "--from-status needs a cluster: leave --filename out"},
		{inFiles && o.history, "--history needs the status of the policy in a cluster: leave --filename out, and name the policy"},
		{!inFiles && o.tags != "", "--tags goes with --filename"},
		{!inFiles && o.image != "", "--image goes with --filename"},
		{reads > 1, "the standard input can be read once only"},
	}
}

// usesRegistry reports whether the tags are listed in the registry.
func (o *options) usesRegistry() bool { return o.tags == "" && !o.fromStatus }

func invalidChoice(name, value string, values []string) string {
	return fmt.Sprintf("--%s is %q: write one of %s", name, value, strings.Join(values, ", "))
}
