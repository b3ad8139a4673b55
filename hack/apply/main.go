// SPDX-License-Identifier: Apache-2.0

// The apply command applies the objects of a YAML stream to a cluster, or
// deletes them, so that nobody needs kubectl to install this controller:
//
//	kustomize build config/default | go run ./hack/apply
//
// It finds the cluster as kubectl does: KUBECONFIG, or ~/.kube/config.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func main() {
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "apply:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("apply", flag.ExitOnError)
	remove := flags.Bool("delete", false, "delete the objects instead of applying them")
	keep := flags.String("keep", "", "kinds that are left alone, separated by commas")
	kubeContext := flags.String("context", "", "the context of the kubeconfig, its current one by default")
	timeout := flags.Duration("timeout", 2*time.Minute, "how long to wait for the cluster in all")
	if err := flags.Parse(args); err != nil {
		return err
	}

	objects, err := readObjects(in)
	if err != nil {
		return err
	}
	objects = without(objects, strings.Split(*keep, ","))
	if len(objects) == 0 {
		return fmt.Errorf("the input holds no object: pipe YAML into this command")
	}
	a, err := connect(*kubeContext, out)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	if *remove {
		return a.remove(ctx, objects)
	}
	return a.apply(ctx, objects)
}

// connect finds the cluster and says which one it is.
func connect(kubeContext string, out io.Writer) (*applier, error) {
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{CurrentContext: kubeContext})
	config, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, unconfigured()
	}
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	fmt.Fprintf(out, "cluster %s\n", config.Host)
	return newApplier(config, namespace, out)
}

// unconfigured says why there is no cluster to go to.
func unconfigured() error {
	for _, file := range filepath.SplitList(os.Getenv(clientcmd.RecommendedConfigPathEnvVar)) {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("KUBECONFIG names a file that can't be read: %w", err)
		}
	}
	return fmt.Errorf("no cluster is configured: set KUBECONFIG to the kubeconfig file of one (make run starts one)")
}

func newApplier(config *rest.Config, namespace string, out io.Writer) (*applier, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1 // the API server has its own way to slow clients down
	config.WarningHandler = rest.NewWarningWriter(out, rest.WarningWriterOptions{Deduplicate: true})
	c, err := client.New(config, client.Options{})
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", config.Host, err)
	}
	return &applier{client: client.WithFieldValidation(c, "Strict"), namespace: namespace, out: out}, nil
}
