// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxcd/image-reflector-controller/internal/explain/render"
	"github.com/fluxcd/image-reflector-controller/internal/explain/source"
	"github.com/fluxcd/image-reflector-controller/internal/terminal"
)

// completionTime is how long somebody who completes waits for a cluster.
const completionTime = 3 * time.Second

// bindCompletions completes the values of flags that are no names of files.
func (o *options) bindCompletions(cmd *cobra.Command) {
	for name, words := range map[string]cobra.CompletionFunc{
		"output":    cobra.FixedCompletions(render.Formats(), cobra.ShellCompDirectiveNoFileComp),
		"color":     cobra.FixedCompletions(terminal.Colors(), cobra.ShellCompDirectiveNoFileComp),
		"namespace": o.fromCluster(func(ctx context.Context, c *source.Cluster, _ string) ([]string, error) { return c.Namespaces(ctx) }),
		"tag":       o.completeTags,
		"context":   o.completeContexts,
		"filename":  cobra.FixedCompletions([]string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt),
	} {
		if err := cmd.RegisterFlagCompletionFunc(name, words); err != nil {
			panic(err) // the flag is bound right above
		}
	}
}

// fromCluster completes with what a cluster says.
func (o *options) fromCluster(words func(ctx context.Context, c *source.Cluster, namespace string) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		cluster, namespace, err := o.openCluster()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp // who completes wants no errors between the words
		}
		found, _ := words(ctx, cluster, namespace)
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeNames completes the name of a policy.
func (o *options) completeNames(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || len(o.files) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return o.fromCluster(func(ctx context.Context, c *source.Cluster, namespace string) ([]string, error) {
		return c.Policies(ctx, namespace)
	})(cmd, args, toComplete)
}

// completeTags completes with the tags that the statuses name: they are had
// without a request to the registry.
func (o *options) completeTags(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 || len(o.files) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return o.fromCluster(func(ctx context.Context, c *source.Cluster, namespace string) ([]string, error) {
		found, err := c.Case(ctx, types.NamespacedName{Namespace: namespace, Name: args[0]})
		if err != nil {
			return nil, err
		}
		l, err := source.StatusTags(found)
		return l.Tags, err
	})(cmd, args, toComplete)
}

// completeContexts completes the name of a context of the kubeconfig.
func (o *options) completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	config, err := o.kube.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(config.Contexts)), cobra.ShellCompDirectiveNoFileComp
}
