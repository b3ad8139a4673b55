// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/explain/render"
	"github.com/fluxcd/image-reflector-controller/internal/explain/source"
	"github.com/fluxcd/image-reflector-controller/internal/terminal"
)

// completionTimeout limits the requests to a cluster for one completion.
const completionTimeout = 3 * time.Second

// bindCompletions registers completions for the name of a policy and the values of flags.
func (o *options) bindCompletions(cmd *cobra.Command) {
	cmd.ValidArgsFunction = o.fromCluster(o.policies)
	for name, words := range map[string]cobra.CompletionFunc{
		"output":    cobra.FixedCompletions(render.Formats(), cobra.ShellCompDirectiveNoFileComp),
		"color":     cobra.FixedCompletions(terminal.Colors(), cobra.ShellCompDirectiveNoFileComp),
		"namespace": o.fromCluster(namespaces),
		"tag":       o.fromCluster(o.tagsOfStatuses),
		"context":   o.completeContexts,
		"filename":  cobra.FixedCompletions([]string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt),
	} {
		if err := cmd.RegisterFlagCompletionFunc(name, words); err != nil {
			panic(err) // the flag is bound right above
		}
	}
}

// completions returns completions from a cluster; args are the preceding arguments.
type completions func(ctx context.Context, c *source.Cluster, namespace string, args []string) ([]string, error)

// fromCluster returns a completion function that reads from the cluster.
func (o *options) fromCluster(words completions) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		cluster, namespace, err := o.openCluster()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp // an error message would disturb the command line
		}
		found, _ := words(ctx, cluster, namespace, args)
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

func namespaces(ctx context.Context, c *source.Cluster, _ string, _ []string) ([]string, error) {
	return c.Names(ctx, corev1.SchemeGroupVersion.WithKind("NamespaceList"), "")
}

func (o *options) policies(ctx context.Context, c *source.Cluster, namespace string, args []string) ([]string, error) {
	if len(args) > 0 || len(o.files) > 0 {
		return nil, nil
	}
	return c.Names(ctx, v1.GroupVersion.WithKind(v1.ImagePolicyKind+"List"), namespace)
}

// tagsOfStatuses completes with the tags in the statuses, without requests to the registry.
func (o *options) tagsOfStatuses(ctx context.Context, c *source.Cluster, namespace string, args []string) ([]string, error) {
	if len(args) == 0 || len(o.files) > 0 {
		return nil, nil
	}
	found, err := c.Case(ctx, types.NamespacedName{Namespace: namespace, Name: args[0]})
	if err != nil {
		return nil, err
	}
	l, err := source.StatusTags(found)
	return l.Tags, err
}

// completeContexts completes the name of a context of the kubeconfig.
func (o *options) completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	config, err := o.kube.load().RawConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(config.Contexts)), cobra.ShellCompDirectiveNoFileComp
}
